//! Claims: which due runs a worker gets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use awaitly_core::dispatch::Allowance;
use awaitly_core::journal::Timestamp;
use awaitly_core::store::{Claim, Ending};
use rusqlite::OptionalExtension;

use super::super::apply::Batch;
use super::super::clock::millis;
use super::super::error::Failure;
use super::super::leases::first_seq;
use super::super::open::Taken;
use super::super::owners;
use super::super::runs::{self, CLAIM, STATUS, WholeRow};
use super::behind::Moves;
use super::lanes::{First, Lane, Ring, take_first};

/// The claimed runs. Their journals are read later.
#[derive(Debug)]
pub(in super::super) struct Claims {
    pub(in super::super) runs: Vec<Taken>,
    pub(in super::super) now: Timestamp,
    /// The time at which another claim may find more runs.
    pub(in super::super) next: Option<Timestamp>,
    /// The time of the first schedule.
    pub(in super::super) schedule: Option<Timestamp>,
}

/// The maximum number of runs per claim. The limit keeps a claim short.
const MOST: usize = 4096;

/// The time after which a claim searches for dead owners even if it finds enough runs.
const PATIENCE: Duration = Duration::from_secs(1);

const PROMOTE: &str = "UPDATE awaitly_runs SET ready = 2 WHERE id IN (SELECT id FROM awaitly_runs \
    WHERE ready = 0 AND due_at <= ?1 ORDER BY due_at LIMIT ?2)";

const NEXT_DUE: &str =
    "SELECT due_at FROM awaitly_runs WHERE ready = 0 AND due_at > ? ORDER BY due_at LIMIT 1";

const HAS_PROGRESSED: &str = "SELECT 1 FROM awaitly_steps WHERE run = ? AND seq > ?";

/// A claim in progress.
struct Claiming<'c> {
    claim: &'c Claim,
    limit: usize,
    claims: Claims,
    moves: Moves,
}

/// A queue whose runs a claim takes.
struct Visit {
    queue: Arc<str>,
    lanes: Vec<Lane>,
    /// `None`: the queue has no limits.
    allowance: Option<Allowance>,
    /// The highest rank of a started run, without the effect of its priority.
    started: Option<i64>,
}

impl Batch<'_> {
    pub(in super::super) fn claim(&mut self, claim: &Claim) -> Result<Claims, Failure> {
        let claims = Claims { runs: Vec::new(), now: self.now, next: None, schedule: self.next_schedule()? };
        let mut claiming = Claiming { claim, limit: claim.limit.min(MOST), claims, moves: Moves::default() };
        if self.queues.searched.is_none_or(|searched| searched.elapsed() > PATIENCE) {
            self.bury_dead_owners()?;
        }
        self.promote(&mut claiming)?;
        self.sweep(&mut claiming.moves)?;
        self.take_turns(&mut claiming)?;
        if claiming.wanted() > 0 && self.bury_dead_owners()? {
            self.take_turns(&mut claiming)?;
        }
        if claiming.moves.are_used_up() {
            claiming.look_again(Some(self.now));
        }
        let mut statement = self.connection.prepare_cached(NEXT_DUE)?;
        let due: Option<i64> = statement.query_row([millis(self.now)], |row| row.get(0)).optional()?;
        claiming.look_again(due.map(|due| Timestamp::from_millis(due.cast_unsigned())));
        Ok(claiming.claims)
    }

    /// Makes the runs ready whose time has come.
    fn promote(&self, claiming: &mut Claiming<'_>) -> Result<(), Failure> {
        let promoted = self.execute(PROMOTE, (millis(self.now), claiming.moves.left()))?;
        claiming.moves.count(promoted);
        Ok(())
    }

    /// Makes the runs of dead owners due. Returns whether there are any.
    pub(in super::super) fn bury_dead_owners(&mut self) -> Result<bool, Failure> {
        self.queues.searched = Some(Instant::now());
        let mut found = false;
        for holder in owners::holders(self.connection)? {
            if self.owners.is_dead(&holder) {
                found |= owners::bury(self.connection, &holder, self.now)? > 0;
            }
        }
        Ok(found)
    }

    /// Takes a run of each queue in turn, until the claim is full or all queues are empty.
    fn take_turns(&mut self, claiming: &mut Claiming<'_>) -> Result<(), Failure> {
        let turn = Arc::clone(&self.queues.turn);
        let mut ring = Ring::after(self.connection, turn, &claiming.claim.workflows)?;
        let mut open = VecDeque::new();
        loop {
            let wanted = claiming.wanted();
            while open.len() < wanted.max(1) {
                let Some((queue, lanes)) = ring.next(self.connection)? else { break };
                open.extend(self.visit(queue, lanes, claiming)?);
            }
            if wanted == 0 {
                let leaves_runs = open.iter().any(Visit::has_more);
                claiming.look_again(leaves_runs.then_some(self.now));
                break;
            }
            let Some(mut visit) = open.pop_front() else { break };
            // The queues share the rest of the claim.
            let share = wanted.div_ceil(open.len() + 1);
            match self.take_next(&mut visit, share, claiming)? {
                Some(taken) => {
                    claiming.claims.runs.push(taken);
                    self.queues.turn = Arc::clone(&visit.queue);
                    open.push_back(visit);
                }
                None => self.leave(visit, claiming)?,
            }
        }
        open.into_iter().try_for_each(|visit| self.leave(visit, claiming))
    }

    /// Begins to take runs of a queue. Returns `None` if none of its runs may start.
    fn visit(
        &mut self,
        queue: Arc<str>,
        lanes: Vec<Lane>,
        claiming: &mut Claiming<'_>,
    ) -> Result<Option<Visit>, Failure> {
        if self.queues.find(self.connection, &queue)?.is_some_and(|state| state.paused) {
            return Ok(None);
        }
        let allowance = self.allowance(&queue)?;
        if let Some(allowance) = allowance.as_ref().filter(|allowance| allowance.left() == 0) {
            claiming.look_again(allowance.opens_at());
            return Ok(None);
        }
        Ok(Some(Visit { queue, lanes, allowance, started: None }))
    }

    /// Takes the lease of the first run of a queue that may start. `share` is the number of runs that the claim
    /// probably takes from this queue.
    fn take_next(
        &mut self,
        visit: &mut Visit,
        share: usize,
        claiming: &mut Claiming<'_>,
    ) -> Result<Option<Taken>, Failure> {
        while visit.may_start() && !claiming.moves.are_used_up() {
            let Some(first) = take_first(self.connection, &mut visit.lanes, &visit.queue, share)? else {
                break;
            };
            let Some(mut whole) = self.readable(first.slot)? else { continue };
            let header = &mut whole.row.header;
            if header.version > first.version {
                continue;
            }
            if !header.has_begun() && header.place.is_too_late(self.now) {
                header.end(Ending::too_late(), false, self.now);
                whole.row.held = None;
                self.leases.given_back(first.slot);
                self.write_whole(STATUS, &mut whole)?;
                self.report(&whole.row)?;
                // Another run of the key, or the parent, may have become ready.
                claiming.look_again(Some(self.now));
            } else if !visit.admits(header.place.key.as_deref()) {
                self.put_behind(first.slot)?;
                claiming.moves.count(1);
            } else {
                visit.started =
                    visit.started.max(Some(first.rank.saturating_add(header.place.priority.into())));
                return self.take_due(whole, first, claiming.claim).map(Some);
            }
        }
        Ok(None)
    }

    fn take_due(&mut self, whole: WholeRow, first: First, claim: &Claim) -> Result<Taken, Failure> {
        let WholeRow { mut row, input } = whole;
        let lapsed = row.held.is_some();
        let progressed = (lapsed || row.header.crashes > 0) && {
            let mut statement = self.connection.prepare_cached(HAS_PROGRESSED)?;
            statement.exists((row.slot, first_seq(row.token)))?
        };
        let found = row.may_have_journal().then_some(row.slot);
        row.header.claim(first.version, lapsed, progressed, self.now);
        let lease = self.lend(&mut row, &claim.owner, claim.ttl);
        self.write(CLAIM, &mut row)?;
        Ok(Taken { lease, header: row.header, input, found })
    }

    /// Reads a run. If it cannot be read, the other runs start nevertheless.
    fn readable(&self, slot: i64) -> Result<Option<WholeRow>, Failure> {
        match runs::whole_in(self.connection, slot) {
            Err(Failure::Refused(error)) => {
                tracing::error!(slot, %error, "a due run cannot be read: no worker executes it");
                Ok(None)
            }
            found => found,
        }
    }

    /// Stores the state of a queue after the last run that this claim took from it.
    fn leave(&mut self, visit: Visit, claiming: &mut Claiming<'_>) -> Result<(), Failure> {
        let Visit { queue, allowance, started, .. } = visit;
        claiming.look_again(allowance.as_ref().and_then(Allowance::opens_at));
        let Some(started) = started else { return Ok(()) };
        let Some(state) = self.queues.find(self.connection, &queue)? else { return Ok(()) };
        let mut new = state.clone();
        new.virtual_time = new.virtual_time.max(started);
        new.pace = allowance.map_or(new.pace, |allowance| allowance.pace());
        if (new.virtual_time, new.pace) == (state.virtual_time, state.pace) {
            return Ok(());
        }
        self.queues.store(self.connection, &queue, new)
    }
}

impl Claiming<'_> {
    fn wanted(&self) -> usize {
        self.limit - self.claims.runs.len()
    }

    /// Lets the worker claim again at `moment`, or earlier.
    fn look_again(&mut self, moment: Option<Timestamp>) {
        self.claims.next = self.claims.next.into_iter().chain(moment).min();
    }
}

impl Visit {
    fn may_start(&self) -> bool {
        self.allowance.as_ref().is_none_or(|allowance| allowance.left() > 0)
    }

    fn has_more(&self) -> bool {
        self.may_start() && self.lanes.iter().any(Lane::has_more)
    }

    fn admits(&mut self, key: Option<&str>) -> bool {
        self.allowance.as_mut().is_none_or(|allowance| allowance.admit(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn promotion_and_next_due_time_read_only_the_index_of_times() {
        let due = "USING COVERING INDEX awaitly_runs_due (ready=? AND due_at<?)";
        assert!(plan(PROMOTE).contains(due), "{}", plan(PROMOTE));
        let next = plan(NEXT_DUE);
        assert_eq!(next, "SEARCH awaitly_runs USING COVERING INDEX awaitly_runs_due (ready=? AND due_at>?)");
    }
}

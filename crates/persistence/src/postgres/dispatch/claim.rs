//! Claims of due runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{Claim, Lease, StoredRun};
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use super::exchange::report;
use super::probe::{Lane, Probe};
use super::{special, take};
use crate::postgres::error::is_duplicate;
use crate::postgres::lane::Fate;
use crate::postgres::patience::Patience;
use crate::postgres::rows::{millis, moment};
use crate::postgres::statements::Statements;
use crate::unclaimed::{Back, Unclaimed};

/// A claim on its way to its lane.
#[derive(Debug)]
pub(in crate::postgres) struct Claiming {
    pub(in crate::postgres) request: Claim,
    /// The unique name of the owner.
    pub(in crate::postgres) owner: String,
    pub(in crate::postgres) patience: Patience,
    pub(in crate::postgres) fate: Fate<Taken<Unclaimed>>,
    pub(in crate::postgres) back: Arc<dyn Back>,
}

/// The result of a claim.
#[derive(Debug)]
pub(in crate::postgres) struct Taken<L> {
    pub(in crate::postgres) runs: Vec<(L, StoredRun)>,
    pub(in crate::postgres) now: Timestamp,
    pub(in crate::postgres) next: Option<Timestamp>,
    pub(in crate::postgres) schedule: Option<Timestamp>,
}

/// The maximum number of runs that one statement checks or moves into the lists.
const MANY: i64 = 5000;

/// The maximum number of claims whose leases one statement checks.
const CLAIMS: i64 = 20;

/// The maximum number of times that a claim repeats a statement that left work behind. The next claim continues the
/// work.
const ROUNDS: usize = 16;

/// The time, in milliseconds, after which another claim checks the rows that another session has locked.
pub(super) const SOON: i64 = 20;

/// The number of index entries that a claim reads to find the shares of its lanes.
const PEEKED: usize = 20_000;

/// Takes due runs. If `again` is set, an earlier attempt may have taken runs, but its answer was lost. `claims` is the
/// number of claims before this one. It decides the queue with which the claim begins.
pub(in crate::postgres) async fn claim(
    connection: &mut PgConnection,
    statements: &Statements,
    claiming: &Claiming,
    claims: usize,
    again: bool,
) -> Result<Taken<Lease>, Error> {
    if again && let Some(taken) = found_again(connection, statements, claiming).await? {
        return Ok(taken);
    }
    let mut visit = Visit {
        connection,
        statements,
        claiming,
        claims,
        now: 0,
        found: Vec::new(),
        next: None,
        schedule: None,
    };
    match visit.take().await {
        // The earlier attempt took runs after this attempt had searched for them.
        Err(error) if is_duplicate(&error) => {
            let taken = found_again(visit.connection, statements, claiming).await?;
            taken.ok_or(error)
        }
        taken => {
            taken?;
            let (now, next) = (moment(visit.now), visit.next.map(|next| moment(next.max(visit.now))));
            let schedule = visit.schedule.map(moment);
            let runs = take::journals(visit.connection, statements, visit.found).await?;
            Ok(Taken { runs, now, next, schedule })
        }
    }
}

/// Returns the runs that an earlier attempt of this claim took.
async fn found_again(
    connection: &mut PgConnection,
    statements: &Statements,
    claiming: &Claiming,
) -> Result<Option<Taken<Lease>>, Error> {
    let rows = statements.claiming.claimed.query().bind(&claiming.owner).fetch_all(&mut *connection).await?;
    let found = take::found(&rows);
    let Some(now) = found.first().map(|found| found.now) else { return Ok(None) };
    let runs = take::journals(connection, statements, found).await?;
    Ok(Some(Taken { runs, now, next: Some(now), schedule: None }))
}

/// A claim in progress.
pub(super) struct Visit<'c> {
    pub(super) connection: &'c mut PgConnection,
    pub(super) statements: &'c Statements,
    pub(super) claiming: &'c Claiming,
    pub(super) claims: usize,
    /// The time at which the claim read the state of the store.
    pub(super) now: i64,
    pub(super) found: Vec<take::Found>,
    /// The time at which another claim may find more runs.
    next: Option<i64>,
    /// The earliest time of a schedule.
    schedule: Option<i64>,
}

impl Visit<'_> {
    async fn take(&mut self) -> Result<(), Error> {
        let lanes = self.look().await?;
        if lanes.is_empty() {
            return Ok(());
        }
        let (special, plain): (Vec<_>, Vec<_>) = lanes.into_iter().partition(|lane| lane.is_special);
        if !special.is_empty() && self.left() > 0 {
            self.take_special(&special, &plain).await?;
        }
        if !plain.is_empty() && self.left() > 0 {
            self.take_plain(&plain).await?;
        }
        if self.left() == 0 {
            self.come_back(self.now);
        }
        Ok(())
    }

    /// Lists the runs that have become due, and returns the lanes with due runs.
    async fn look(&mut self) -> Result<Vec<Lane>, Error> {
        let mut probe = self.probe().await?;
        for _ in 0..ROUNDS {
            let is_due = |time: Option<i64>| time.is_some_and(|time| time <= probe.now);
            let (due, lapse) = (is_due(probe.due), is_due(probe.lapse));
            let claiming = &self.statements.claiming;
            let mut looked = 0;
            if lapse {
                let row = claiming.lapse.query().bind(CLAIMS).fetch_one(&mut *self.connection).await?;
                looked += row.try_get::<i64, _>(0)?;
            }
            if due {
                looked += report(self.connection, self.statements).await?;
                let row = claiming.promote.query().bind(MANY).fetch_one(&mut *self.connection).await?;
                looked += row.try_get::<i64, _>(0)?;
            }
            if !due && !lapse {
                break;
            }
            probe = self.probe().await?;
            if looked == 0 {
                // Other sessions have locked the rows.
                break;
            }
        }
        (self.now, self.schedule) = (probe.now, probe.schedule);
        match probe.next() {
            Some(next) if next <= probe.now => self.come_back(probe.now + SOON),
            Some(next) => self.come_back(next),
            None => {}
        }
        Ok(probe.lanes)
    }

    async fn probe(&mut self) -> Result<Probe, Error> {
        Probe::new(self.connection, self.statements, &self.claiming.request.workflows).await
    }

    /// Visits the special queues, each with its share of the claim.
    async fn take_special(&mut self, special: &[Lane], plain: &[Lane]) -> Result<(), Error> {
        let lanes: Vec<_> = special.iter().chain(plain).cloned().collect();
        let shares = self.shares(&lanes).await?;
        let mut queues: BTreeMap<&str, i64> = BTreeMap::new();
        for (lane, share) in special.iter().zip(shares) {
            // Runs behind a limit are in no lane yet.
            let share = if lane.workflow.is_empty() { self.left() as i64 } else { share };
            let of_queue = queues.entry(&lane.queue).or_default();
            *of_queue = (*of_queue + share).min(self.left() as i64);
        }
        let mut queues: Vec<_> = queues.into_iter().collect();
        let first = self.claims % queues.len().max(1);
        queues.rotate_left(first);
        for (part, (queue, share)) in (1_i16..).zip(queues) {
            let wanted = usize::try_from(share).unwrap_or(0).min(self.left());
            if wanted == 0 {
                self.come_back(self.now);
                break;
            }
            special::take(self, queue, part, wanted).await?;
        }
        Ok(())
    }

    /// Visits the queues without limits, in one statement.
    async fn take_plain(&mut self, lanes: &[Lane]) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            let shares = self.shares(lanes).await?;
            let (taken, is_odd, is_locked) = take::plain(self, lanes, &shares).await?;
            if is_locked {
                self.come_back(self.now + SOON);
            }
            if !is_odd {
                return Ok(());
            }
            take::relist(self, lanes, &shares).await?;
            // A claim writes one row for all queues without limits, so another claim takes the rest.
            if taken > 0 {
                break;
            }
        }
        self.come_back(self.now);
        Ok(())
    }

    /// Returns the number of runs to take from each lane.
    async fn shares(&mut self, lanes: &[Lane]) -> Result<Vec<i64>, Error> {
        let left = self.left();
        if let [_] = lanes {
            return Ok(vec![left as i64]);
        }
        let depth = (PEEKED / lanes.len().max(1)).max(left.div_ceil(lanes.len().max(1))).min(left);
        let shares = &self.statements.claiming.shares;
        let rows = shares
            .query()
            .bind(lanes.iter().map(|lane| lane.workflow.as_str()).collect::<Vec<_>>())
            .bind(lanes.iter().map(|lane| lane.queue.as_str()).collect::<Vec<_>>())
            .bind(lanes.iter().map(|lane| lane.version).collect::<Vec<_>>())
            .bind(depth as i64)
            .bind(left as i64)
            .bind((self.claims % (1 << 20)) as i64)
            .fetch_all(&mut *self.connection)
            .await?;
        let mut shares = vec![0; lanes.len()];
        for row in &rows {
            let lane = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or(usize::MAX);
            if let Some(share) = shares.get_mut(lane) {
                *share = row.try_get(1)?;
            }
        }
        Ok(shares)
    }

    fn limit(&self) -> usize {
        self.claiming.request.limit.min(MANY as usize)
    }

    /// Returns the number of runs that the claim may still take.
    pub(super) fn left(&self) -> usize {
        self.limit().saturating_sub(self.found.len())
    }

    /// Adds taken runs.
    pub(super) fn add(&mut self, found: Vec<take::Found>) {
        let taken_at = found.iter().map(|found| millis(found.now)).max();
        self.now = self.now.max(taken_at.unwrap_or(self.now));
        self.found.extend(found);
    }

    /// Lets another claim follow at this time, or earlier.
    pub(super) fn come_back(&mut self, at: i64) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

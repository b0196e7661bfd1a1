//! Runs behind the limit of their key.
//!
//! A key is full if as many of its runs are running as the queue permits. If a claim finds a ready run whose key is
//! full, it moves the run behind the limit, so that later claims do not read the run again. When a run of the key stops
//! running, the first run behind the limit becomes ready again. Therefore a full key with many runs does not slow down
//! claims.
//!
//! Some events do not cause this check, for example the expiry of the lease of a paused run. So a claim checks all keys
//! with runs behind a limit once a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use awaitly_core::dispatch::{Allowance, Place};

use super::super::apply::Batch;
use super::super::clock::millis;
use super::super::error::Failure;
use super::super::owners;
use super::super::runs::RunRow;

/// The pause between two checks of all keys.
const PAUSE: Duration = Duration::from_secs(1);

const PUT_BEHIND: &str = "UPDATE awaitly_runs SET ready = 3 WHERE id = ?";

const BRING_BACK: &str = "UPDATE awaitly_runs SET ready = 2 WHERE id IN (SELECT id FROM awaitly_runs \
    WHERE ready = 3 AND queue = ?1 AND queue_key = ?2 ORDER BY rank, id LIMIT ?3)";

const NEXT_QUEUE: &str =
    "SELECT queue FROM awaitly_runs WHERE ready = 3 AND queue >= ? ORDER BY queue LIMIT 1";

const NEXT_KEY: &str = "SELECT queue_key FROM awaitly_runs WHERE ready = 3 AND queue = ? AND queue_key >= ? \
    ORDER BY queue_key LIMIT 1";

/// Counts the running runs of a queue that one process holds, by key. A run with an owner on the list 0 has a live
/// lease, because a claim moves the run to another list when the lease expires.
const RUNNING: &str = "SELECT queue_key, count(*) FROM awaitly_runs WHERE owner IS NOT NULL AND ready < 2 \
    AND lock_file IS ?1 AND queue = ?2 AND (ready = 0 OR lease_until > ?3) GROUP BY queue_key";

/// The number of runs that one operation may still move between lists. The limit keeps the operation short.
#[derive(Debug)]
pub(super) struct Moves(usize);

impl Default for Moves {
    fn default() -> Self {
        Self(10_000)
    }
}

impl Moves {
    /// Counts `moved` runs.
    pub(super) const fn count(&mut self, moved: usize) {
        self.0 = self.0.saturating_sub(moved);
    }

    pub(super) const fn are_used_up(&self) -> bool {
        self.0 == 0
    }

    /// Returns the number that is left, as a limit of a statement.
    pub(super) fn left(&self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl Batch<'_> {
    /// Moves a ready run behind the limit of its key.
    pub(super) fn put_behind(&self, slot: i64) -> Result<(), Failure> {
        self.execute(PUT_BEHIND, [slot]).map(drop)
    }

    /// Lets another run of the key start, if `row` was ready or running before and is not any more.
    pub(in super::super) fn follow(&mut self, row: &mut RunRow) -> Result<(), Failure> {
        if row.has_left_front() { self.make_room(&row.header.place) } else { Ok(()) }
    }

    /// Makes the first run behind the limit of a key ready.
    pub(super) fn make_room(&self, place: &Place) -> Result<(), Failure> {
        match place.key.as_deref() {
            None | Some("") => Ok(()),
            Some(key) => self.bring_back(&place.queue, key, 1).map(drop),
        }
    }

    fn bring_back(&self, queue: &str, key: &str, most: i64) -> Result<usize, Failure> {
        self.execute(BRING_BACK, (queue, key, most))
    }

    /// Checks all keys with runs behind a limit, unless a claim did so less than a second ago.
    pub(super) fn sweep(&mut self, moves: &mut Moves) -> Result<(), Failure> {
        if self.queues.swept.is_some_and(|swept| swept.elapsed() < PAUSE) {
            return Ok(());
        }
        let mut from = String::new();
        while let Some(queue) = self.next_text(NEXT_QUEUE, [&*from])? {
            self.sweep_queue(&queue, moves)?;
            from = after(&queue);
        }
        // If the moves were used up, the next claim continues.
        self.queues.swept = (!moves.are_used_up()).then(Instant::now);
        Ok(())
    }

    /// Makes runs of a queue ready that are behind the limit of their key, if the key has room.
    pub(super) fn sweep_queue(&mut self, queue: &str, moves: &mut Moves) -> Result<(), Failure> {
        let mut from = String::new();
        let mut allowance = None;
        while let Some(key) = self.next_text(NEXT_KEY, (queue, &*from))?
            && !moves.are_used_up()
        {
            if allowance.is_none() {
                allowance = Some(self.allowance(queue)?);
            }
            let limits = allowance.as_ref().and_then(Option::as_ref);
            let left = limits.map_or(u32::MAX, |limits| limits.left_for(Some(&key)));
            if left > 0 {
                moves.count(self.bring_back(queue, &key, moves.left().min(left.into()))?);
            }
            from = after(&key);
        }
        Ok(())
    }

    /// Counts the running runs of a queue. Returns `None` if the queue has no limits.
    pub(super) fn allowance(&mut self, queue: &str) -> Result<Option<Allowance>, Failure> {
        let Some(state) = self.queues.find(self.connection, queue)? else { return Ok(None) };
        let Some(settings) = state.limits() else { return Ok(None) };
        let mut running: Vec<(Arc<str>, u32)> = Vec::new();
        let mut statement = self.connection.prepare_cached(RUNNING)?;
        let holders = owners::holders(self.connection)?;
        for holder in holders.iter().map(Some).chain([None]) {
            let mut rows = statement.query((holder, queue, millis(self.now)))?;
            while let Some(row) = rows.next()? {
                let key: Option<String> = row.get(0)?;
                running.push((key.unwrap_or_default().into(), row.get(1)?));
            }
        }
        Ok(Some(Allowance::new(settings, state.pace, self.now, running)))
    }

    /// Returns the first column of the first row.
    pub(super) fn next_text(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Option<String>, Failure> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }
}

/// Returns the first text after `text` in SQLite's order.
pub(super) fn after(text: &str) -> String {
    format!("{text}\0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn runs_behind_a_limit_are_found_by_their_key() {
        let index = "SEARCH awaitly_runs USING COVERING INDEX awaitly_runs_behind";
        assert!(
            plan(BRING_BACK).ends_with(&format!("{index} (queue=? AND queue_key=?)")),
            "{}",
            plan(BRING_BACK)
        );
        assert_eq!(plan(NEXT_QUEUE), format!("{index} (queue>?)"));
        assert_eq!(plan(NEXT_KEY), format!("{index} (queue=? AND queue_key>?)"));
    }

    #[test]
    fn running_runs_are_counted_by_the_index_of_held_runs() {
        let expected = "SEARCH awaitly_runs USING INDEX awaitly_runs_held (lock_file=? AND queue=?)";
        assert_eq!(plan(RUNNING), expected);
    }
}

//! The ranks of runs in fair queues.

use std::collections::HashMap;
use std::sync::Arc;

use awaitly_core::dispatch::{Fairness, Place};
use rusqlite::types::ValueRef;

use super::super::apply::Batch;
use super::super::checksum::{self, with_checksum};
use super::super::error::Failure;
use super::super::runs::of_text;

/// The ranks that one operation assigns.
#[derive(Debug, Default)]
pub(super) struct Ranks(HashMap<(Arc<str>, Arc<str>), Fairness>);

/// A rank in a fair queue that a run may get. [`Ranks::keep`] assigns it.
#[derive(Debug)]
pub(super) struct Ranked {
    queue_and_key: (Arc<str>, Arc<str>),
    fairness: Fairness,
}

const NEXT: &str = "SELECT queue, key, next, checksum FROM awaitly_queue_keys WHERE queue = ? AND key = ?";

const STORE: &str =
    "INSERT OR REPLACE INTO awaitly_queue_keys (queue, key, next, checksum) VALUES (?, ?, ?, ?)";

/// Removes the keys whose next run would get the virtual time as its rank without their row.
const REMOVE: &str = "DELETE FROM awaitly_queue_keys WHERE next <= (SELECT coalesce(max(virtual_time), 0) \
    FROM awaitly_queues WHERE name = queue)";

/// The minimum number of written ranks between two removals of old ranks.
const MANY: usize = 1024;

impl Batch<'_> {
    /// Returns the place of a run, with the next rank of its key if the queue is fair. In that case,
    /// [`Ranks::keep`] must follow if the run gets the place.
    pub(super) fn place(&mut self, ranks: &Ranks, place: Place) -> Result<(Place, Option<Ranked>), Failure> {
        let Some(state) = self.queues.find(self.connection, &place.queue)?.filter(|state| state.is_fair())
        else {
            return Ok((place, None));
        };
        let virtual_time = state.virtual_time;
        let queue_and_key = (Arc::clone(&place.queue), place.key.clone().unwrap_or_default());
        let mut fairness = match ranks.0.get(&queue_and_key) {
            Some(fairness) => *fairness,
            None => Fairness::new(virtual_time, self.next_rank(&queue_and_key)?),
        };
        let place = fairness.rank(place);
        Ok((place, Some(Ranked { queue_and_key, fairness })))
    }

    fn next_rank(&self, (queue, key): &(Arc<str>, Arc<str>)) -> Result<Option<i64>, Failure> {
        let mut statement = self.connection.prepare_cached(NEXT)?;
        let mut rows = statement.query([&**queue, &**key])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        checksum::verify_key(row)?;
        Ok(Some(row.get(2)?))
    }

    /// Writes the ranks that an operation assigned.
    pub(super) fn store_ranks(&mut self, ranks: &Ranks) -> Result<(), Failure> {
        if ranks.0.is_empty() {
            return Ok(());
        }
        for ((queue, key), fairness) in &ranks.0 {
            let values = [of_text(queue), of_text(key), ValueRef::Integer(fairness.next())];
            self.execute(STORE, with_checksum(&values))?;
        }
        let (written, most) = &mut self.queues.ranked;
        *written += ranks.0.len();
        if *written > (*most).max(MANY) {
            self.execute(REMOVE, [])?;
            let mut statement = self.connection.prepare_cached("SELECT count(*) FROM awaitly_queue_keys")?;
            let left: i64 = statement.query_row([], |row| row.get(0))?;
            self.queues.ranked = (0, usize::try_from(left).unwrap_or(MANY));
        }
        Ok(())
    }
}

impl Ranks {
    /// Assigns a rank to its run.
    pub(super) fn keep(&mut self, ranked: Option<Ranked>) {
        self.0.extend(ranked.map(|ranked| (ranked.queue_and_key, ranked.fairness)));
    }
}

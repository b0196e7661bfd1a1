//! The ready runs of the served workflows, by queue. These functions read only the index of ready runs.

use std::collections::VecDeque;
use std::sync::Arc;

use awaitly_core::store::Served;
use rusqlite::{Connection, OptionalExtension};

use super::super::error::Failure;
use super::behind::after;

/// The queues with ready runs of the served workflows, in a circle in the order of their names. The circle begins after
/// the queue `end` and ends with it.
///
/// The ring reads one queue at a time, so a claim that needs few runs reads few queues.
#[derive(Debug)]
pub(super) struct Ring<'c> {
    heads: Vec<Head<'c>>,
    /// The last queue.
    end: Arc<str>,
    has_wrapped: bool,
}

/// The next queue with ready runs of one workflow.
#[derive(Debug)]
struct Head<'c> {
    served: &'c Served,
    queue: Option<Arc<str>>,
}

/// The ready runs of one workflow in one queue that one version of the code began. The version of a queued run is 0.
#[derive(Debug)]
pub(super) struct Lane {
    workflow: Arc<str>,
    /// The served version.
    served: u32,
    version: u32,
    /// The next runs: the rank and the slot of each.
    ahead: VecDeque<(i64, i64)>,
    /// The last run that was read from the index.
    last: (i64, i64),
    has_more: bool,
}

/// A queue with its lanes.
type Lanes = (Arc<str>, Vec<Lane>);

/// The first run of several lanes.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    pub(super) rank: i64,
    pub(super) slot: i64,
    /// The served version of the workflow.
    pub(super) version: u32,
}

const NEXT_QUEUE: &str = "SELECT queue FROM awaitly_runs WHERE ready = 2 AND workflow = ?1 AND queue >= ?2 \
    ORDER BY queue LIMIT 1";

const NEXT_VERSION: &str = "SELECT version FROM awaitly_runs WHERE ready = 2 AND workflow = ?1 AND queue = ?2 \
    AND version >= ?3 AND version <= ?4 ORDER BY version LIMIT 1";

const NEXT_RUNS: &str = "SELECT rank, id FROM awaitly_runs WHERE ready = 2 AND workflow = ?1 AND queue = ?2 \
    AND version = ?3 AND (rank, id) > (?4, ?5) ORDER BY rank, id LIMIT ?6";

impl<'c> Ring<'c> {
    /// Begins with the queue after `end`.
    pub(super) fn after(
        connection: &Connection,
        end: Arc<str>,
        workflows: &'c [Served],
    ) -> Result<Self, Failure> {
        let heads = workflows.iter().map(|served| Head { served, queue: None }).collect();
        let mut ring = Self { heads, end, has_wrapped: false };
        let from = after(&ring.end);
        ring.heads.iter_mut().try_for_each(|head| head.advance(connection, &from))?;
        Ok(ring)
    }

    /// Returns the next queue and its lanes.
    pub(super) fn next(&mut self, connection: &Connection) -> Result<Option<Lanes>, Failure> {
        let first = |heads: &[Head<'_>]| heads.iter().filter_map(|head| head.queue.clone()).min();
        let mut queue = first(&self.heads);
        if queue.is_none() && !self.has_wrapped {
            self.has_wrapped = true;
            self.heads.iter_mut().try_for_each(|head| head.advance(connection, ""))?;
            queue = first(&self.heads);
        }
        let Some(queue) = queue.filter(|queue| !self.has_wrapped || *queue <= self.end) else {
            return Ok(None);
        };
        let (mut lanes, from) = (Vec::new(), after(&queue));
        for head in self.heads.iter_mut().filter(|head| head.queue.as_ref() == Some(&queue)) {
            head.add_lanes(connection, &queue, &mut lanes)?;
            head.advance(connection, &from)?;
        }
        Ok(Some((queue, lanes)))
    }
}

impl Head<'_> {
    fn advance(&mut self, connection: &Connection, from: &str) -> Result<(), Failure> {
        let mut statement = connection.prepare_cached(NEXT_QUEUE)?;
        let mut rows = statement.query([&*self.served.workflow, from])?;
        let queue: Option<Arc<str>> = rows.next()?.map(|row| row.get(0)).transpose()?;
        self.queue = queue;
        Ok(())
    }

    /// Adds the lanes of a queue. Runs that newer versions of the code began are not read at all.
    fn add_lanes(&self, connection: &Connection, queue: &str, lanes: &mut Vec<Lane>) -> Result<(), Failure> {
        let mut statement = connection.prepare_cached(NEXT_VERSION)?;
        let Served { workflow, version: served } = self.served;
        let mut from = Some(0);
        while let Some(least) = from.filter(|least| least <= served) {
            let next =
                statement.query_row((&**workflow, queue, least, served), |row| row.get(0)).optional()?;
            let Some(version) = next else { break };
            lanes.push(Lane::new(self.served, version));
            from = u32::checked_add(version, 1);
        }
        Ok(())
    }
}

impl Lane {
    fn new(served: &Served, version: u32) -> Self {
        Self {
            workflow: Arc::clone(&served.workflow),
            served: served.version,
            version,
            ahead: VecDeque::new(),
            last: (i64::MIN, 0),
            has_more: true,
        }
    }

    /// Returns whether the lane may have more runs.
    pub(super) fn has_more(&self) -> bool {
        self.has_more || !self.ahead.is_empty()
    }

    /// Returns the rank and the slot of the next run. `share` is the number of runs that the caller probably takes.
    fn peek(
        &mut self,
        connection: &Connection,
        queue: &str,
        share: usize,
    ) -> Result<Option<(i64, i64)>, Failure> {
        if self.ahead.is_empty() && self.has_more {
            // One more run shows whether the caller leaves runs.
            let most = i64::try_from(share).unwrap_or(i64::MAX).saturating_add(1);
            let mut statement = connection.prepare_cached(NEXT_RUNS)?;
            let (rank, slot) = self.last;
            let mut rows = statement.query((&*self.workflow, queue, self.version, rank, slot, most))?;
            while let Some(row) = rows.next()? {
                self.last = (row.get(0)?, row.get(1)?);
                self.ahead.push_back(self.last);
            }
            self.has_more = self.ahead.len() as i64 == most;
        }
        Ok(self.ahead.front().copied())
    }
}

/// Takes the first run of `lanes` by rank. `share` is the number of runs that the caller probably takes.
pub(super) fn take_first(
    connection: &Connection,
    lanes: &mut [Lane],
    queue: &str,
    share: usize,
) -> Result<Option<First>, Failure> {
    let mut first: Option<((i64, i64), &mut Lane)> = None;
    for lane in lanes {
        if let Some(next) = lane.peek(connection, queue, share)?
            && first.as_ref().is_none_or(|(known, _)| next < *known)
        {
            first = Some((next, lane));
        }
    }
    Ok(first.map(|((rank, slot), lane)| {
        lane.ahead.pop_front();
        First { rank, slot, version: lane.served }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn ready_runs_come_from_their_index_in_its_order() {
        let index = "SEARCH awaitly_runs USING COVERING INDEX awaitly_runs_ready";
        assert_eq!(plan(NEXT_QUEUE), format!("{index} (workflow=? AND queue>?)"));
        assert_eq!(
            plan(NEXT_VERSION),
            format!("{index} (workflow=? AND queue=? AND version>? AND version<?)")
        );
        assert_eq!(plan(NEXT_RUNS), format!("{index} (workflow=? AND queue=? AND version=? AND rank>?)"));
    }
}

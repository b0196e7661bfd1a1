//! The place of a run in the line of its queue.

use std::sync::Arc;

use awaitly_core::dispatch::Place;
use awaitly_core::journal::Timestamp;
use awaitly_core::store::{RunId, Standing};
use rusqlite::{Connection, OptionalExtension, Params};

use super::super::error::Failure;
use super::super::runs;

const NEXT_WORKFLOW: &str =
    "SELECT workflow FROM awaitly_runs WHERE ready = 2 AND workflow > ?1 ORDER BY workflow LIMIT 1";

const NEXT_VERSION: &str = "SELECT version FROM awaitly_runs WHERE ready = 2 AND workflow = ?1 AND queue = ?2 \
    AND version > ?3 ORDER BY version LIMIT 1";

const READY: &str = "SELECT count(*) FROM (SELECT 1 FROM awaitly_runs WHERE ready = 2 AND workflow = ?1 \
    AND queue = ?2 AND version = ?3 AND (rank, id) < (?4, ?5) LIMIT ?6)";

const BEHIND: &str = "SELECT count(*) FROM (SELECT 1 FROM awaitly_runs WHERE ready = 3 AND queue = ?1 \
    AND queue_key = ?2 AND (rank, id) < (?3, ?4) LIMIT ?5)";

const PAUSED: &str = "SELECT 1 FROM awaitly_queues WHERE name = ? AND paused";

/// Reads the standing of a run from one snapshot. Only the indexes of ready runs are counted.
pub(in super::super) fn standing(
    connection: &mut Connection,
    run: &RunId,
    now: Timestamp,
) -> Result<Option<Standing>, Failure> {
    let snapshot = connection.transaction()?;
    let Some(row) = runs::row(&snapshot, run)? else { return Ok(None) };
    if let Some(held) = row.held.as_ref().filter(|held| held.until > now) {
        return Ok(Some(Standing::Held { owner: (*held.owner).into() }));
    }
    if row.due_at().is_none_or(|due| due > now) {
        return Ok(None);
    }
    let place = &row.header.place;
    let ahead = ahead(&snapshot, place, row.slot)?.min(Standing::MOST_AHEAD);
    let queue_paused = snapshot.prepare_cached(PAUSED)?.exists([&*place.queue])?;
    Ok(Some(Standing::InLine { ahead, queue_paused }))
}

/// Counts the runs before the one in this slot: the ready ones, and those of its key that are behind a limit.
fn ahead(snapshot: &Connection, place: &Place, slot: i64) -> Result<u64, Failure> {
    let Place { queue, key, rank, .. } = place;
    let most = Standing::MOST_AHEAD.cast_signed();
    let mut ahead = match key {
        Some(key) => count(snapshot, BEHIND, (&**queue, &**key, rank, slot, most))?,
        None => 0,
    };
    let mut workflow: Arc<str> = Arc::default();
    while let Some(next) = next_workflow(snapshot, &workflow)? {
        let mut version = -1;
        while let Some(next_version) = next_version(snapshot, (&next, queue, version))? {
            version = next_version;
            ahead += count(snapshot, READY, (&*next, &**queue, version, rank, slot, most))?;
        }
        workflow = next;
    }
    Ok(ahead)
}

fn next_workflow(snapshot: &Connection, after: &str) -> Result<Option<Arc<str>>, Failure> {
    let mut statement = snapshot.prepare_cached(NEXT_WORKFLOW)?;
    Ok(statement.query_row([after], |row| row.get(0)).optional()?)
}

fn next_version(snapshot: &Connection, after: (&str, &str, i64)) -> Result<Option<i64>, Failure> {
    let mut statement = snapshot.prepare_cached(NEXT_VERSION)?;
    Ok(statement.query_row(after, |row| row.get(0)).optional()?)
}

fn count(snapshot: &Connection, sql: &str, parameters: impl Params) -> Result<u64, Failure> {
    let mut statement = snapshot.prepare_cached(sql)?;
    let count: i64 = statement.query_row(parameters, |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn runs_ahead_are_counted_in_their_indexes() {
        let ready = "SEARCH awaitly_runs USING COVERING INDEX awaitly_runs_ready";
        assert_eq!(plan(NEXT_WORKFLOW), format!("{ready} (workflow>?)"));
        assert_eq!(plan(NEXT_VERSION), format!("{ready} (workflow=? AND queue=? AND version>?)"));
        let in_lane = format!("{ready} (workflow=? AND queue=? AND version=? AND rank<?)");
        assert!(plan(READY).contains(&in_lane), "{}", plan(READY));
        let behind = "SEARCH awaitly_runs USING COVERING INDEX awaitly_runs_behind (queue=? AND queue_key=? AND rank<?)";
        assert!(plan(BEHIND).contains(behind), "{}", plan(BEHIND));
    }
}

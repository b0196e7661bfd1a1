//! The lists for operators. The caller's values reach SQL only as parameters; an unused part of the query is a
//! parameter that is NULL.

use std::cmp::Reverse;

use awaitly_core::journal::{Header, Key, Status, Timestamp};
use awaitly_core::store::{Due, DueQuery, Page, RunQuery, RunSummary, WaitQuery, Waiting};
use rusqlite::{Connection, Rows, named_params};

use super::clock::{millis, remaining};
use super::columns::WAIT;
use super::error::Failure;
use super::rows;
use super::runs::{Ready, RunRow, run_row_at};
use crate::limits;

/// Large columns are not read.
macro_rules! runs {
    ($of:literal) => {
        concat!(
            "SELECT ",
            run_row!("r."),
            " FROM ",
            $of,
            " AND id < :before \
            AND (:queue IS NULL OR queue = :queue) \
            AND (:workflow IS NULL OR workflow = :workflow) \
            AND (:created_from IS NULL OR created_at >= :created_from) \
            AND (:created_before IS NULL OR created_at < :created_before) \
            AND (:changed_before IS NULL OR changed_at < :changed_before) \
            AND (:error IS NULL OR (error IS NOT NULL AND instr(error, :error) > 0)) \
            AND (:key IS NULL OR EXISTS (SELECT 1 FROM awaitly_steps WHERE run = id AND key = :key)) \
            ORDER BY id DESC LIMIT :limit"
        )
    };
}

const RUNS: &str = runs!("awaitly_runs r WHERE :status IS NULL AND :tag IS NULL");

/// Selects the runs with one status by its index. In a combined statement, SQLite would scan the whole table.
const RUNS_BY_STATUS: &str = runs!("awaitly_runs r WHERE status = :status AND :tag IS NULL");

/// Selects the runs with one tag in the order of the table of tags.
const RUNS_BY_TAG: &str = runs!(
    "awaitly_tags t CROSS JOIN awaitly_runs r ON r.id = t.run \
    WHERE tag = :tag AND (:status IS NULL OR status = :status)"
);

/// Selects due runs by the index of their times.
macro_rules! due {
    ($of:literal) => {
        concat!(
            "SELECT ",
            run_row!(""),
            " FROM awaitly_runs WHERE ready = ?1 AND due_at <= ?2",
            $of,
            " ORDER BY due_at LIMIT ?3"
        )
    };
}

const DUE: &str = due!("");

const DUE_OF: &str = due!(" AND workflow = ?4");

/// The questions, each with its run.
macro_rules! waiting {
    ($of:literal) => {
        concat!("SELECT ", wait_columns!("w."), ", w.checksum, ", run_row!("r."), " FROM ", $of)
    };
}

const WAITING: &str = waiting!(
    "awaitly_waits w JOIN awaitly_runs r ON r.id = w.run \
    WHERE r.status IN ('running', 'waiting') \
    AND (:key IS NULL OR w.key = :key) \
    AND (:since IS NULL OR (w.since, r.run_id, w.key) < (:since, :after_run, :after_key)) \
    ORDER BY w.since DESC, r.run_id DESC, w.key DESC LIMIT :limit"
);

/// Selects the questions of one token or one run, each by its index. In a combined statement, SQLite would scan the
/// whole table.
const WAITING_BY_TOKEN: &str = waiting!(
    "awaitly_waits w JOIN awaitly_runs r ON r.id = w.run \
    WHERE r.status IN ('running', 'waiting') AND w.token = ?"
);

const WAITING_OF_RUN: &str = waiting!(
    "awaitly_runs r JOIN awaitly_waits w ON r.id = w.run \
    WHERE r.status IN ('running', 'waiting') AND r.run_id = ?"
);

pub(super) fn runs(
    connection: &Connection,
    query: &RunQuery,
    now: Timestamp,
) -> Result<Page<RunSummary>, Failure> {
    let mut found = Vec::new();
    // Several statements read one snapshot.
    let snapshot = connection.unchecked_transaction()?;
    if query.statuses.is_empty() {
        runs_of(&snapshot, query, None, now, &mut found)?;
    }
    for status in Status::ALL.iter().filter(|status| query.statuses.contains(status)) {
        runs_of(&snapshot, query, Some(*status), now, &mut found)?;
    }
    drop(snapshot);
    found.sort_unstable_by_key(|(slot, _)| Reverse(*slot));
    Ok(limits::without_places(Page::cut(found, query.page_limit(), |(slot, _)| slot.to_string().into())))
}

/// Adds the newest runs, of one status if given, up to the size of a page.
fn runs_of(
    connection: &Connection,
    query: &RunQuery,
    status: Option<Status>,
    now: Timestamp,
    found: &mut Vec<(i64, RunSummary)>,
) -> Result<(), Failure> {
    let before = query.after.as_deref().map(limits::number).transpose()?;
    let sql = match (&query.tag, status) {
        (Some(_), _) => RUNS_BY_TAG,
        (None, Some(_)) => RUNS_BY_STATUS,
        (None, None) => RUNS,
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(named_params! {
        ":status": status.map(Status::as_str),
        ":tag": query.tag.as_deref(),
        ":queue": query.queue.as_deref(),
        ":before": before.unwrap_or(i64::MAX),
        ":workflow": query.workflow.as_deref(),
        ":created_from": query.created_from.map(millis),
        ":created_before": query.created_before.map(millis),
        ":changed_before": query.changed_before.map(millis),
        ":error": query.error.as_deref(),
        ":key": query.key.as_ref().map(Key::as_str),
        ":limit": sql_limit(query.page_limit()),
    })?;
    while let Some(row) = rows.next()? {
        let run = run_row_at(row, 0)?;
        // Only the writer knows which owners are alive, so here a lease lasts until it expires.
        let remaining = run.held.as_ref().map(|held| remaining(now, held.until));
        let lease = remaining.filter(|remaining| !remaining.is_zero());
        found.push((run.slot, RunSummary::of(run.run, &run.header, lease)));
    }
    Ok(())
}

/// Returns the runs that are due at `now`.
pub(super) fn due(connection: &Connection, query: &DueQuery, now: Timestamp) -> Result<Vec<Due>, Failure> {
    let mut found = Vec::new();
    // Several statements read one snapshot.
    let snapshot = connection.unchecked_transaction()?;
    for ready in [Ready::Later, Ready::Now, Ready::Behind] {
        let limits = (ready as i64, millis(now), sql_limit(query.page_limit()));
        if query.workflows.is_empty() {
            due_of(snapshot.prepare_cached(DUE)?.query(limits)?, &mut found)?;
        }
        for workflow in &query.workflows {
            let (ready, now, limit) = limits;
            due_of(snapshot.prepare_cached(DUE_OF)?.query((ready, now, limit, &**workflow))?, &mut found)?;
        }
    }
    found.dedup_by(|a, b| a.run == b.run);
    Ok(limits::longest_overdue(found, query.page_limit()))
}

fn due_of(mut rows: Rows<'_>, found: &mut Vec<Due>) -> Result<(), Failure> {
    while let Some(row) = rows.next()? {
        let run = run_row_at(row, 0)?;
        if let Some(since) = run.due_at() {
            let Header { workflow, version, .. } = run.header;
            found.push(Due { run: run.run, workflow, version, since });
        }
    }
    Ok(())
}

pub(super) fn waiting(connection: &Connection, query: &WaitQuery) -> Result<Page<Waiting>, Failure> {
    let by_index = match query {
        WaitQuery { token: Some(token), .. } => Some((WAITING_BY_TOKEN, &**token)),
        WaitQuery { run: Some(run), .. } => Some((WAITING_OF_RUN, &**run)),
        _ => None,
    };
    if let Some((sql, text)) = by_index {
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = read(statement.query([text])?)?;
        found.retain(|waiting| query.asks_for(&waiting.run, &waiting.entry));
        return Ok(limits::page_of_waiting(found, query)?);
    }
    let after = query.after.as_deref().map(limits::waiting_place).transpose()?;
    let (since, run, key) = match &after {
        Some((since, run, key)) => (Some(millis(*since)), Some(&**run), Some(key.as_str())),
        None => (None, None, None),
    };
    let mut statement = connection.prepare_cached(WAITING)?;
    let rows = statement.query(named_params! {
        ":key": query.key.as_ref().map(Key::as_str),
        ":since": since,
        ":after_run": run,
        ":after_key": key,
        ":limit": sql_limit(query.page_limit()),
    })?;
    Ok(Page::cut(read(rows)?, query.page_limit(), limits::waiting_cursor))
}

fn read(mut rows: Rows<'_>) -> Result<Vec<Waiting>, Failure> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = rows::wait_entry(row)?;
        let RunRow { run, header, .. } = run_row_at(row, WAIT + 1)?;
        found.push(Waiting { run, workflow: header.workflow, entry });
    }
    Ok(found)
}

/// Returns one more than the limit; an extra row shows that another page follows.
fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn lists_by_status_and_of_due_runs_use_their_indexes() {
        let by_status = "SEARCH r USING INDEX awaitly_runs_by_status (status=? AND rowid<?)";
        assert!(plan(RUNS_BY_STATUS).starts_with(by_status), "{}", plan(RUNS_BY_STATUS));
        for sql in [DUE, DUE_OF] {
            let by_time = "SEARCH awaitly_runs USING INDEX awaitly_runs_due (ready=? AND due_at<?)";
            assert_eq!(plan(sql), by_time);
        }
    }
}

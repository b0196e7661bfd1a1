//! The lists that operators ask for. What is asked for reaches SQL as parameters only; a part of the question
//! that is not asked is a parameter that is NULL.

use awaitly_core::journal::{Key, LeaseInfo, Payload, Status, Timestamp, WaitEntry};
use awaitly_core::store::{Cursor, Page, RunId, RunQuery, RunSummary, WaitQuery, Waiting};
use rusqlite::{Connection, named_params};

use super::clock::{millis, remaining};
use super::error::{Failure, undecodable};
use super::rows;
use crate::limits;

/// The columns in the order in which `rows` reads a run, then the run id. What is large stays where it is.
const RUNS: &str = "SELECT id, workflow, version, format, status, NULL, NULL, NULL, NULL, failed_on, token, \
     owner IS NOT NULL, owner_lock, lease_until, error, created_at, changed_at, wake_at, cancel_requested, run_id \
     FROM awaitly_runs \
     WHERE (:before IS NULL OR id < :before) \
     AND (:workflow IS NULL OR workflow = :workflow) \
     AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses))) \
     AND (:created_from IS NULL OR created_at >= :created_from) \
     AND (:created_before IS NULL OR created_at < :created_before) \
     AND (:changed_before IS NULL OR changed_at < :changed_before) \
     AND (:error IS NULL OR (error IS NOT NULL AND instr(error, :error) > 0)) \
     AND (:key IS NULL OR EXISTS (SELECT 1 FROM awaitly_steps WHERE run = id AND key = :key)) \
     ORDER BY id DESC LIMIT :limit";

const WAITING: &str = "SELECT w.key, w.token, w.request, w.since, w.expires_at, r.run_id, r.workflow \
     FROM awaitly_waits w JOIN awaitly_runs r ON r.id = w.run \
     WHERE r.status IN ('running', 'waiting') \
     AND (:key IS NULL OR w.key = :key) \
     AND (:since IS NULL OR (w.since, r.run_id, w.key) < (:since, :after_run, :after_key)) \
     ORDER BY w.since DESC, r.run_id DESC, w.key DESC LIMIT :limit";

/// The same for one token or one run, each by its index: with all of it in one statement SQLite would walk the
/// whole table.
const WAITING_BY_TOKEN: &str = "SELECT w.key, w.token, w.request, w.since, w.expires_at, r.run_id, r.workflow \
     FROM awaitly_waits w JOIN awaitly_runs r ON r.id = w.run \
     WHERE r.status IN ('running', 'waiting') AND w.token = ?";

const WAITING_OF_RUN: &str = "SELECT w.key, w.token, w.request, w.since, w.expires_at, r.run_id, r.workflow \
     FROM awaitly_runs r JOIN awaitly_waits w ON r.id = w.run \
     WHERE r.status IN ('running', 'waiting') AND r.run_id = ?";

pub(super) fn runs(
    connection: &Connection,
    query: &RunQuery,
    now: Timestamp,
) -> Result<Page<RunSummary>, Failure> {
    let before = query.after.as_ref().map(limits::number).transpose()?;
    let names: Vec<_> = query.statuses.iter().map(|status| Status::as_str(*status)).collect();
    // A list of names always has a JSON form.
    let statuses = (!names.is_empty()).then(|| Payload::encode(&names).map_err(|_| undecodable("status")));
    let statuses = statuses.transpose()?;
    let mut statement = connection.prepare_cached(RUNS)?;
    let mut rows = statement.query(named_params! {
        ":before": before,
        ":workflow": query.workflow.as_deref(),
        ":statuses": statuses.as_ref().map(Payload::as_str),
        ":created_from": query.created_from.map(millis),
        ":created_before": query.created_before.map(millis),
        ":changed_before": query.changed_before.map(millis),
        ":error": query.error.as_deref(),
        ":key": query.key.as_ref().map(Key::as_str),
        ":limit": sql_limit(query.page_limit()),
    })?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let run = rows::run_row(row)?;
        let lease = match &run.held {
            // Which owners are alive only the writer can tell, so here a lease lasts until its time is over.
            Some(held) if !remaining(now, held.until).is_zero() => {
                LeaseInfo::Held(remaining(now, held.until))
            }
            _ => LeaseInfo::Free,
        };
        found.push((run.slot, RunSummary::of(rows::run_id(row, 19)?, &run.header, lease)));
    }
    Ok(limits::without_places(Page::cut(found, query.page_limit(), |(slot, _)| {
        Cursor::new(slot.to_string())
    })))
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
    let after = query.after.as_ref().map(limits::waiting_place).transpose()?;
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

fn read(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Waiting>, Failure> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let entry: WaitEntry = rows::wait_entry(row)?;
        let run: RunId = rows::run_id(row, 5)?;
        found.push(Waiting { run, workflow: row.get::<_, String>(6)?.into(), entry });
    }
    Ok(found)
}

/// One more than asked for, which tells whether there are more.
fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

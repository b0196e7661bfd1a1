use std::sync::Arc;

use awaitly_core::journal::{
    Fingerprint, Header, Key, Kind, Outcome, Payload, Record, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::{RunId, StoreError, StoredRun};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::clock::millis;
use super::error::{Failure, undecodable};
use super::schema;

/// A row of `awaitly_runs`.
#[derive(Debug)]
pub(super) struct RunRow {
    pub(super) slot: i64,
    pub(super) header: Header,
    pub(super) input: Option<Payload>,
    pub(super) token: u64,
    /// `None`: the lease was given back.
    pub(super) held: Option<Held>,
}

/// The lease columns of a run that somebody holds, or held and never gave back.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) until: Timestamp,
    pub(super) owner_lock: Option<String>,
}

const RUN: &str = "SELECT id, workflow, version, format, status, input, input_fingerprint, outcome_kind, outcome, \
     failed_on, token, owner IS NOT NULL, owner_lock, lease_until, error, created_at, changed_at, wake_at, \
     cancel_requested FROM awaitly_runs WHERE run_id = ?";

/// Runs that may be due: each status by its own index.
const OPEN_RUNS: &str = "SELECT id, workflow, version, format, status, NULL, NULL, NULL, NULL, \
     '[]', token, owner IS NOT NULL, owner_lock, lease_until, NULL, created_at, changed_at, wake_at, \
     cancel_requested, run_id FROM awaitly_runs WHERE status = 'running' \
     UNION ALL SELECT id, workflow, version, format, status, NULL, NULL, NULL, NULL, \
     '[]', token, owner IS NOT NULL, owner_lock, lease_until, NULL, created_at, changed_at, wake_at, \
     cancel_requested, run_id FROM awaitly_runs WHERE +status = 'waiting' AND wake_at <= ?";

const RECORDS: &str = "SELECT key, seq, kind, payload, input_fingerprint FROM awaitly_steps WHERE run = ?";

const WAITS: &str =
    "SELECT key, token, request, since, expires_at FROM awaitly_waits WHERE run = ? ORDER BY key";

/// Reads everything of a run but its records.
pub(super) fn run(connection: &Connection, run: &RunId) -> Result<Option<RunRow>, Failure> {
    let mut statement = connection.prepare_cached(RUN)?;
    let mut rows = statement.query([&**run])?;
    rows.next()?.map(run_row).transpose()
}

/// Reads a whole run, as it was at one moment.
pub(super) fn stored(connection: &mut Connection, id: &RunId) -> Result<Option<StoredRun>, Failure> {
    let snapshot = connection.transaction()?;
    let Some(row) = run(&snapshot, id)? else {
        return Ok(None);
    };
    let (records, waits) = (records(&snapshot, row.slot)?, waits(&snapshot, row.slot)?);
    Ok(Some(StoredRun { header: row.header, input: row.input, records, waits }))
}

/// Reads the records of a run, in the order in which they were appended.
///
/// The rows come in the order of their keys. Sorting them here is faster than asking SQLite to, which
/// would copy every payload into its sorter and back.
pub(super) fn records(connection: &Connection, slot: i64) -> Result<Vec<Record>, Failure> {
    let mut statement = connection.prepare_cached(RECORDS)?;
    let mut rows = statement.query([slot])?;
    let (mut order, mut found) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        order.push((row.get::<_, i64>(1)?, found.len()));
        found.push(Some(record(row)?));
    }
    // Sorts numbers instead of records, and then moves each record once.
    order.sort_unstable();
    Ok(order.into_iter().filter_map(|(_, place)| found.get_mut(place)?.take()).collect())
}

/// Calls `each` for the runs that may be due.
pub(super) fn open_runs(
    connection: &Connection,
    now: Timestamp,
    mut each: impl FnMut(RunId, RunRow),
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(OPEN_RUNS)?;
    let mut rows = statement.query([millis(now)])?;
    while let Some(row) = rows.next()? {
        each(run_id(row, 19)?, run_row(row)?);
    }
    Ok(())
}

/// The record under `key`, if there is one.
pub(super) fn record_under(connection: &Connection, slot: i64, key: &Key) -> Result<Option<Record>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT key, seq, kind, payload, input_fingerprint FROM awaitly_steps WHERE run = ? AND key = ?",
    )?;
    let mut rows = statement.query((slot, key.as_str()))?;
    rows.next()?.map(record).transpose()
}

/// Whether there is a record under `key`.
pub(super) fn is_recorded(connection: &Connection, slot: i64, key: &Key) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM awaitly_steps WHERE run = ? AND key = ?")?;
    Ok(statement.exists((slot, key.as_str()))?)
}

/// The entries of a run that wait.
pub(super) fn waits(connection: &Connection, slot: i64) -> Result<Vec<WaitEntry>, Failure> {
    let mut statement = connection.prepare_cached(WAITS)?;
    let mut rows = statement.query([slot])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(wait_entry(row)?);
    }
    Ok(found)
}

/// The entry under `key` that waits, if there is one.
pub(super) fn wait_under(
    connection: &Connection,
    slot: i64,
    key: &Key,
) -> Result<Option<WaitEntry>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT key, token, request, since, expires_at FROM awaitly_waits WHERE run = ? AND key = ?",
    )?;
    let mut rows = statement.query((slot, key.as_str()))?;
    rows.next()?.map(wait_entry).transpose()
}

/// The greatest number of a record of that run.
pub(super) fn last_seq(connection: &Connection, slot: i64) -> Result<Option<i64>, Failure> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM awaitly_steps WHERE run = ?")?;
    Ok(statement.query_row([slot], |row| row.get(0)).optional()?.flatten())
}

pub(super) fn run_row(row: &Row<'_>) -> Result<RunRow, Failure> {
    schema::supported(row.get(3)?)?;
    let status = Status::from_name(text(row, 4, "status")?).ok_or_else(|| undecodable("status"))?;
    let failed_on = Payload::from_stored(text(row, 9, "failed_on")?);
    let failed_on: Vec<Key> = failed_on.decode().map_err(|_| undecodable("failed_on"))?;
    let outcome = match (row.get(7)?, payload(row, 8, "outcome")?) {
        (Some(kind), Some(payload)) => Some(Outcome::from_parts(kind_of(kind, "outcome_kind")?, payload)),
        (None, None) => None,
        _ => return Err(undecodable("outcome").into()),
    };
    let mut header = Header::new(text(row, 1, "workflow")?.into(), row.get(2)?, status, moment(row, 15)?);
    header.input = fingerprint(row, 6)?;
    header.outcome = outcome;
    header.failed_on = failed_on;
    header.error = row.get::<_, Option<String>>(14)?.map(Into::into);
    header.changed = moment(row, 16)?;
    header.wake = row.get::<_, Option<i64>>(17)?.map(|millis| Timestamp::from_millis(millis.cast_unsigned()));
    header.cancel_requested = row.get(18)?;
    Ok(RunRow {
        slot: row.get(0)?,
        header,
        input: payload(row, 5, "input")?,
        token: row.get::<_, i64>(10)?.cast_unsigned(),
        held: match row.get(11)? {
            true => Some(Held { until: moment(row, 13)?, owner_lock: row.get(12)? }),
            false => None,
        },
    })
}

pub(super) fn run_id(row: &Row<'_>, index: usize) -> Result<RunId, Failure> {
    RunId::new(text(row, index, "run_id")?).map_err(|_| undecodable("run_id").into())
}

/// An entry that waits, from the columns key, token, request, since, expires_at.
pub(super) fn wait_entry(row: &Row<'_>) -> Result<WaitEntry, Failure> {
    let key: Arc<str> = text(row, 0, "key")?.into();
    let expires = row.get::<_, Option<i64>>(4)?;
    Ok(WaitEntry {
        key: key.into(),
        token: text(row, 1, "token")?.into(),
        request: Payload::from_stored(text(row, 2, "request")?),
        since: moment(row, 3)?,
        expires: expires.map(|millis| Timestamp::from_millis(millis.cast_unsigned())),
    })
}

pub(super) fn moment(row: &Row<'_>, index: usize) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_millis(row.get::<_, i64>(index)?.max(0).cast_unsigned()))
}

fn record(row: &Row<'_>) -> Result<Record, Failure> {
    let key: Arc<str> = text(row, 0, "key")?.into();
    let kind = kind_of(row.get(2)?, "kind")?;
    let payload = Payload::from_stored(text(row, 3, "payload")?);
    Ok(Record { key: key.into(), outcome: Outcome::from_parts(kind, payload), input: fingerprint(row, 4)? })
}

fn kind_of(number: i64, column: &'static str) -> Result<Kind, StoreError> {
    u8::try_from(number).ok().and_then(Kind::from_number).ok_or_else(|| undecodable(column))
}

fn fingerprint(row: &Row<'_>, index: usize) -> Result<Option<Fingerprint>, Failure> {
    let bits: Option<i64> = row.get(index)?;
    Ok(bits.map(|bits| Fingerprint::from_bits(bits.cast_unsigned())))
}

fn payload(row: &Row<'_>, index: usize, column: &'static str) -> Result<Option<Payload>, Failure> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => Ok(Some(Payload::from_stored(text(row, index, column)?))),
    }
}

/// The text of a column, where SQLite keeps it: whoever needs it longer copies it once.
fn text<'row>(row: &'row Row<'_>, index: usize, column: &'static str) -> Result<&'row str, Failure> {
    row.get_ref(index)?.as_str().map_err(|_| undecodable(column).into())
}

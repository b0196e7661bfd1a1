use std::sync::Arc;

use awaitly_core::journal::{
    Fingerprint, Header, Key, Kind, Outcome, Payload, Record, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::{RunId, StoreError, StoredRun};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::checksum::{self, body_columns, run_columns, step_columns, wait_columns};
use super::clock::millis;
use super::error::{Failure, undecodable};
use super::schema;

/// A row of `awaitly_runs`.
#[derive(Debug)]
pub(super) struct RunRow {
    pub(super) slot: i64,
    pub(super) run: RunId,
    pub(super) header: Header,
    pub(super) input: Option<Payload>,
    pub(super) token: u64,
    /// `None` if the lease was released.
    pub(super) held: Option<Held>,
}

/// The lease columns of a run whose lease was not released; it may have expired.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) until: Timestamp,
    /// The lock file of the owner's store.
    pub(super) owner_file: Option<String>,
}

const RUN: &str = concat!(
    "SELECT ",
    run_columns!(""),
    ", checksum, ",
    body_columns!(""),
    " FROM awaitly_runs WHERE run_id = ?"
);

const HEADER_IN: &str =
    concat!("SELECT ", run_columns!(""), ", checksum FROM awaitly_runs WHERE id = ? AND run_id = ?");

/// Selects the runs that may be due, each status by its own index.
const OPEN_RUNS: &str = concat!(
    "SELECT ",
    run_columns!(""),
    ", checksum FROM awaitly_runs WHERE status = 'running' UNION ALL SELECT ",
    run_columns!(""),
    ", checksum FROM awaitly_runs WHERE +status = 'waiting' AND wake_at <= ?"
);

const RECORDS: &str = concat!("SELECT ", step_columns!(), ", checksum FROM awaitly_steps WHERE run = ?");

const RECORD: &str =
    concat!("SELECT ", step_columns!(), ", checksum FROM awaitly_steps WHERE run = ? AND key = ?");

const WAITS: &str =
    concat!("SELECT ", wait_columns!(""), ", checksum FROM awaitly_waits WHERE run = ? ORDER BY key");

const WAIT: &str =
    concat!("SELECT ", wait_columns!(""), ", checksum FROM awaitly_waits WHERE run = ? AND key = ?");

/// Reads a run without its records.
pub(super) fn run(connection: &Connection, run: &RunId) -> Result<Option<RunRow>, Failure> {
    let mut statement = connection.prepare_cached(RUN)?;
    let mut rows = statement.query([&**run])?;
    rows.next()?.map(run_row).transpose()
}

/// Reads the header of the run with this slot and this id.
pub(super) fn header_in(connection: &Connection, slot: i64, run: &RunId) -> Result<Option<RunRow>, Failure> {
    let mut statement = connection.prepare_cached(HEADER_IN)?;
    let mut rows = statement.query((slot, &**run))?;
    rows.next()?.map(|row| header(row, 0)).transpose()
}

/// Reads a complete run from one snapshot.
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
/// The rows arrive in the order of their keys. Sorting them here is faster than sorting in SQLite, which would copy
/// every payload into its sorter and back.
pub(super) fn records(connection: &Connection, slot: i64) -> Result<Vec<Record>, Failure> {
    let mut statement = connection.prepare_cached(RECORDS)?;
    let mut rows = statement.query([slot])?;
    let (mut order, mut found) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (seq, record) = record(row)?;
        order.push((seq, found.len()));
        found.push(Some(record));
    }
    // Sorting numbers instead of records moves each record only once.
    order.sort_unstable();
    Ok(order.into_iter().filter_map(|(_, place)| found.get_mut(place)?.take()).collect())
}

/// Calls `each` for the runs that may be due.
pub(super) fn open_runs(
    connection: &Connection,
    now: Timestamp,
    mut each: impl FnMut(RunRow),
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(OPEN_RUNS)?;
    let mut rows = statement.query([millis(now)])?;
    while let Some(row) = rows.next()? {
        each(header(row, 0)?);
    }
    Ok(())
}

/// Returns the record under `key`, if it exists.
pub(super) fn record_under(connection: &Connection, slot: i64, key: &Key) -> Result<Option<Record>, Failure> {
    let mut statement = connection.prepare_cached(RECORD)?;
    let mut rows = statement.query((slot, key.as_str()))?;
    Ok(rows.next()?.map(record).transpose()?.map(|(_, record)| record))
}

/// Returns `true` if a record exists under `key`.
pub(super) fn is_recorded(connection: &Connection, slot: i64, key: &Key) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM awaitly_steps WHERE run = ? AND key = ?")?;
    Ok(statement.exists((slot, key.as_str()))?)
}

/// Returns the waiting entries of a run.
pub(super) fn waits(connection: &Connection, slot: i64) -> Result<Vec<WaitEntry>, Failure> {
    let mut statement = connection.prepare_cached(WAITS)?;
    let mut rows = statement.query([slot])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(wait_entry(row)?);
    }
    Ok(found)
}

/// Returns the waiting entry under `key`, if it exists.
pub(super) fn wait_under(
    connection: &Connection,
    slot: i64,
    key: &Key,
) -> Result<Option<WaitEntry>, Failure> {
    let mut statement = connection.prepare_cached(WAIT)?;
    let mut rows = statement.query((slot, key.as_str()))?;
    rows.next()?.map(wait_entry).transpose()
}

/// Returns the highest record number of the run.
pub(super) fn last_seq(connection: &Connection, slot: i64) -> Result<Option<i64>, Failure> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM awaitly_steps WHERE run = ?")?;
    Ok(statement.query_row([slot], |row| row.get(0)).optional()?.flatten())
}

/// Reads a run without its records, from [`run_columns`], their checksum, and [`body_columns`].
fn run_row(row: &Row<'_>) -> Result<RunRow, Failure> {
    let mut run = header(row, 0)?;
    checksum::verify_body(row)?;
    let [input, fingerprint_of_input, kind, outcome] = [1, 2, 3, 4].map(|column| checksum::HEADER + column);
    run.input = payload(row, input, "input")?;
    run.header.input = fingerprint(row, fingerprint_of_input)?;
    run.header.outcome = match (row.get(kind)?, payload(row, outcome, "outcome")?) {
        (Some(kind), Some(payload)) => Some(Outcome::from_parts(kind_of(kind, "outcome_kind")?, payload)),
        (None, None) => None,
        _ => return Err(undecodable("outcome").into()),
    };
    Ok(run)
}

/// Reads the small columns of a run, from [`run_columns`] and their checksum, beginning with the column `first`.
pub(super) fn header(row: &Row<'_>, first: usize) -> Result<RunRow, Failure> {
    schema::supported(row.get(first + 4)?)?;
    checksum::verify_header(row, first)?;
    let status = Status::from_name(text(row, first + 5, "status")?).ok_or_else(|| undecodable("status"))?;
    let failed_on = Payload::from_stored(text(row, first + 6, "failed_on")?);
    let failed_on: Vec<Key> = failed_on.decode().map_err(|_| undecodable("failed_on"))?;
    let workflow = text(row, first + 2, "workflow")?.into();
    let mut header = Header::new(workflow, row.get(first + 3)?, status, moment(row, first + 12)?);
    header.failed_on = failed_on;
    header.error = row.get::<_, Option<String>>(first + 11)?.map(Into::into);
    header.changed = moment(row, first + 13)?;
    header.wake = row.get::<_, Option<i64>>(first + 14)?.map(|at| Timestamp::from_millis(at.cast_unsigned()));
    header.cancel_requested = row.get(first + 15)?;
    Ok(RunRow {
        slot: row.get(first)?,
        run: RunId::new(text(row, first + 1, "run_id")?).map_err(|_| undecodable("run_id"))?,
        header,
        input: None,
        token: row.get::<_, i64>(first + 7)?.cast_unsigned(),
        held: match row.get_ref(first + 8)? {
            ValueRef::Null => None,
            _ => Some(Held { until: moment(row, first + 10)?, owner_file: row.get(first + 9)? }),
        },
    })
}

/// Reads a question from [`wait_columns`] and their checksum.
pub(super) fn wait_entry(row: &Row<'_>) -> Result<WaitEntry, Failure> {
    checksum::verify_wait(row)?;
    let key: Arc<str> = text(row, 1, "key")?.into();
    let expires = row.get::<_, Option<i64>>(5)?;
    Ok(WaitEntry {
        key: key.into(),
        token: text(row, 2, "token")?.into(),
        request: Payload::from_stored(text(row, 3, "request")?),
        since: moment(row, 4)?,
        expires: expires.map(|millis| Timestamp::from_millis(millis.cast_unsigned())),
    })
}

fn moment(row: &Row<'_>, index: usize) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_millis(row.get::<_, i64>(index)?.max(0).cast_unsigned()))
}

/// Reads a record and its number from [`step_columns`] and their checksum.
fn record(row: &Row<'_>) -> Result<(i64, Record), Failure> {
    let [_, key, seq, kind, payload, input, _] = checksum::step(row)?;
    let seq = seq.as_i64().map_err(|_| undecodable("seq"))?;
    let key: Arc<str> = key.as_str().map_err(|_| undecodable("key"))?.into();
    let kind = kind_of(kind.as_i64().map_err(|_| undecodable("kind"))?, "kind")?;
    let payload = Payload::from_stored(payload.as_str().map_err(|_| undecodable("payload"))?);
    let input = input.as_i64_or_null().map_err(|_| undecodable("input_fingerprint"))?;
    let input = input.map(|bits| Fingerprint::from_bits(bits.cast_unsigned()));
    Ok((seq, Record { key: key.into(), outcome: Outcome::from_parts(kind, payload), input }))
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

/// Returns the text of a column as a reference into SQLite's memory, so that a caller that keeps the text copies it
/// only once.
fn text<'row>(row: &'row Row<'_>, index: usize, column: &'static str) -> Result<&'row str, Failure> {
    row.get_ref(index)?.as_str().map_err(|_| undecodable(column).into())
}

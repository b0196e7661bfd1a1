use std::sync::Arc;

use awaitly_core::journal::{Fingerprint, Header, Key, Kind, Outcome, Payload, Record, Status};
use awaitly_core::store::{RunId, StoreError, StoredRun};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

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
    pub(super) until: i64,
    pub(super) owner_lock: Option<String>,
}

const RUN: &str = "SELECT id, workflow, version, format, status, input, input_fingerprint, outcome_kind, outcome, \
     failed_on, token, owner IS NOT NULL, owner_lock, lease_until FROM awaitly_runs WHERE run_id = ?";

const RECORDS: &str = "SELECT key, seq, kind, payload, input_fingerprint FROM awaitly_steps WHERE run = ?";

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
    let records = records(&snapshot, row.slot)?;
    Ok(Some(StoredRun { header: row.header, input: row.input, records }))
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

/// The greatest number of a record of that run.
pub(super) fn last_seq(connection: &Connection, slot: i64) -> Result<Option<i64>, Failure> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM awaitly_steps WHERE run = ?")?;
    Ok(statement.query_row([slot], |row| row.get(0)).optional()?.flatten())
}

fn run_row(row: &Row<'_>) -> Result<RunRow, Failure> {
    schema::supported(row.get(3)?)?;
    let status = Status::from_name(text(row, 4, "status")?).ok_or_else(|| undecodable("status"))?;
    let failed_on = Payload::from_stored(text(row, 9, "failed_on")?);
    let failed_on: Vec<Key> = failed_on.decode().map_err(|_| undecodable("failed_on"))?;
    let outcome = match (row.get(7)?, payload(row, 8, "outcome")?) {
        (Some(kind), Some(payload)) => Some(Outcome::from_parts(kind_of(kind, "outcome_kind")?, payload)),
        (None, None) => None,
        _ => return Err(undecodable("outcome").into()),
    };
    let workflow = Arc::from(text(row, 1, "workflow")?);
    Ok(RunRow {
        slot: row.get(0)?,
        header: Header::from_stored(workflow, row.get(2)?, status, fingerprint(row, 6)?, outcome, failed_on),
        input: payload(row, 5, "input")?,
        token: row.get::<_, i64>(10)?.cast_unsigned(),
        held: match row.get(11)? {
            true => Some(Held { until: row.get(13)?, owner_lock: row.get(12)? }),
            false => None,
        },
    })
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

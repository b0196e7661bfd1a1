//! Records and questions, and the forms of values in columns.

use std::sync::Arc;

use awaitly_core::journal::{Fingerprint, Header, Key, Kind, Outcome, Payload, Record, Timestamp, WaitEntry};
use awaitly_core::store::{RunId, StoreError, StoredRun};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::checksum;
use super::error::{Failure, undecodable};
use super::runs::{self, WholeRow};

const RECORDS: &str = concat!("SELECT ", step_columns!(), ", checksum FROM awaitly_steps WHERE run = ?");

const RECORD: &str =
    concat!("SELECT ", step_columns!(), ", checksum FROM awaitly_steps WHERE run = ? AND key = ?");

const WAITS: &str =
    concat!("SELECT ", wait_columns!(""), ", checksum FROM awaitly_waits WHERE run = ? ORDER BY key");

const WAIT: &str =
    concat!("SELECT ", wait_columns!(""), ", checksum FROM awaitly_waits WHERE run = ? AND key = ?");

/// Reads a complete run from one snapshot.
pub(super) fn stored(connection: &mut Connection, id: &RunId) -> Result<Option<StoredRun>, Failure> {
    let snapshot = connection.transaction()?;
    let Some(WholeRow { row, input }) = runs::whole(&snapshot, id)? else {
        return Ok(None);
    };
    let (records, waits) = (records(&snapshot, row.slot)?, waits(&snapshot, row.slot)?);
    Ok(Some(StoredRun { header: row.header, input, records, waits }))
}

/// Reads the headers of runs from one snapshot.
pub(super) fn headers(connection: &mut Connection, ids: &[RunId]) -> Result<Vec<Option<Header>>, Failure> {
    let snapshot = connection.transaction()?;
    let header = |id| Ok(runs::whole(&snapshot, id)?.map(|whole| whole.row.header));
    ids.iter().map(header).collect()
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

/// Reads a question from [`wait_columns`] and their checksum.
pub(super) fn wait_entry(row: &Row<'_>) -> Result<WaitEntry, Failure> {
    checksum::verify_wait(row)?;
    let key: Arc<str> = text(row, 1, "key")?.into();
    Ok(WaitEntry {
        key: key.into(),
        token: text(row, 2, "token")?.into(),
        request: Payload::from_stored(text(row, 3, "request")?),
        since: moment(row, 4)?,
        expires: time(row, 5)?,
    })
}

pub(super) fn moment(row: &Row<'_>, index: usize) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_millis(row.get::<_, i64>(index)?.max(0).cast_unsigned()))
}

pub(super) fn time(row: &Row<'_>, index: usize) -> Result<Option<Timestamp>, Failure> {
    let millis: Option<i64> = row.get(index)?;
    Ok(millis.map(|millis| Timestamp::from_millis(millis.cast_unsigned())))
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

pub(super) fn kind_of(number: i64, column: &'static str) -> Result<Kind, StoreError> {
    u8::try_from(number).ok().and_then(Kind::from_number).ok_or_else(|| undecodable(column))
}

pub(super) fn fingerprint(row: &Row<'_>, index: usize) -> Result<Option<Fingerprint>, Failure> {
    let bits: Option<i64> = row.get(index)?;
    Ok(bits.map(|bits| Fingerprint::from_bits(bits.cast_unsigned())))
}

pub(super) fn payload(row: &Row<'_>, index: usize, column: &'static str) -> Result<Option<Payload>, Failure> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => Ok(Some(Payload::from_stored(text(row, index, column)?))),
    }
}

/// Returns the text of a column as a reference into SQLite's memory, so that a caller that keeps the text copies it
/// only once.
pub(super) fn text<'row>(
    row: &'row Row<'_>,
    index: usize,
    column: &'static str,
) -> Result<&'row str, Failure> {
    row.get_ref(index)?.as_str().map_err(|_| undecodable(column).into())
}

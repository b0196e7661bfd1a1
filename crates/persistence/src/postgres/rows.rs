//! Decodes rows.

use std::time::Duration;

use awaitly_core::dispatch::{Parent, Place};
use awaitly_core::journal::{
    Fingerprint, Header, Key, Kind, Outcome, Payload, Record, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::{RunId, StoreError};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::undecodable;
use super::schema::{Failure, RUN_FORMAT};
use super::text;
use crate::limits::LONGEST_TTL;

/// A row of `runs`.
#[derive(Debug)]
pub(super) struct RunRow {
    pub(super) slot: i64,
    pub(super) header: Header,
    pub(super) input: Option<Payload>,
    pub(super) token: i64,
    /// `None` if the lease was released.
    pub(super) owner: Option<String>,
    pub(super) lease_until: i64,
    /// The time of the server's clock.
    pub(super) now: Timestamp,
}

impl RunRow {
    /// Returns the remaining time of the lease, if an owner holds it.
    pub(super) fn lease(&self) -> Option<Duration> {
        self.owner.as_ref()?;
        Some(self.now.until(moment(self.lease_until))).filter(|remaining| !remaining.is_zero())
    }
}

/// Converts a time to the form of the columns.
pub(super) fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Reads the columns of `run_columns`, followed by the server's time.
pub(super) fn run(row: &PgRow) -> Result<RunRow, Failure> {
    let format: i32 = row.try_get(3)?;
    if format > RUN_FORMAT {
        let (found, supported) = (format.unsigned_abs(), RUN_FORMAT.unsigned_abs());
        return Err(StoreError::NewerFormat { found, supported }.into());
    }
    let status = Status::from_name(row.try_get(4)?).ok_or_else(|| undecodable("status"))?;
    let version = u32::try_from(row.try_get::<i64, _>(2)?).map_err(|_| undecodable("version"))?;
    let mut header = Header::new(text(row, 1)?.into(), version, status, moment(row.try_get(14)?));
    header.input = fingerprint(row, 6)?;
    header.outcome = match (row.try_get::<Option<i16>, _>(7)?, payload(row, 8)?) {
        (Some(kind), Some(payload)) => Some(Outcome::from_parts(kind_of(kind, "outcome_kind")?, payload)),
        (None, None) => None,
        _ => return Err(undecodable("outcome").into()),
    };
    header.error = row.try_get::<Option<String>, _>(9)?.map(|error| text::loaded(error).into());
    let failed_on = Payload::from_stored(row.try_get::<&str, _>(10)?);
    header.failed_on = failed_on.decode().map_err(|_| undecodable("failed_on"))?;
    header.changed = moment(row.try_get(15)?);
    header.wake = row.try_get::<Option<i64>, _>(16)?.map(moment);
    header.cancel_requested = row.try_get(17)?;
    header.place = place(row)?;
    header.paused = row.try_get(23)?;
    header.crashes = row.try_get::<i32, _>(24)?.unsigned_abs();
    if let (Some(run), Some(key)) = (optional(row, 25)?, optional(row, 26)?) {
        let run = RunId::new(run).map_err(|_| undecodable("parent_run"))?;
        header.parent = Some(Box::new(Parent { run, key: Key::from(key) }));
    }
    let tags = row.try_get::<Option<Vec<String>>, _>(27)?.unwrap_or_default();
    header.tags = tags.into_iter().map(|tag| text::loaded(tag).into()).collect();
    Ok(RunRow {
        slot: row.try_get(0)?,
        header,
        input: payload(row, 5)?,
        token: row.try_get(11)?,
        owner: row.try_get(12)?,
        lease_until: row.try_get(13)?,
        now: moment(row.try_get(NOW)?),
    })
}

/// The index of the server's time after `run_columns`.
const NOW: usize = 29;

/// The index of the run id in a list.
pub(super) const RUN_ID: usize = 30;

fn place(row: &PgRow) -> Result<Place, sqlx::Error> {
    let mut place = Place::default();
    let queue: &str = row.try_get(18)?;
    if !queue.is_empty() {
        place.queue = text::loaded(queue.to_owned()).into();
    }
    place.key = row.try_get::<Option<String>, _>(19)?.map(|key| text::loaded(key).into());
    place.priority = row.try_get(20)?;
    place.rank = row.try_get(21)?;
    place.start_by = row.try_get::<Option<i64>, _>(22)?.map(moment);
    place.unique = optional(row, 28)?.map(Into::into);
    Ok(place)
}

/// Returns records in the order in which they were appended.
pub(super) fn records(rows: &[PgRow]) -> Result<Vec<Record>, sqlx::Error> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push((row.try_get::<i64, _>(0)?, record(row)?));
    }
    // Rows arrive in the order of the table, which is almost their order.
    found.sort_by_key(|(seq, _)| *seq);
    Ok(found.into_iter().map(|(_, record)| record).collect())
}

/// Reads the columns seq, key, kind, payload, input_fingerprint.
pub(super) fn record(row: &PgRow) -> Result<Record, sqlx::Error> {
    let key = Key::from(text(row, 1)?);
    let payload = Payload::from_stored(text(row, 3)?);
    let outcome = Outcome::from_parts(kind_of(row.try_get(2)?, "kind")?, payload);
    Ok(Record { key, outcome, input: fingerprint(row, 4)? })
}

/// Reads the columns key, token, request, since, expires_at.
pub(super) fn wait_entry(row: &PgRow) -> Result<WaitEntry, sqlx::Error> {
    Ok(WaitEntry {
        key: Key::from(text(row, 0)?),
        token: text(row, 1)?.into(),
        request: Payload::from_stored(text(row, 2)?),
        since: moment(row.try_get(3)?),
        expires: row.try_get::<Option<i64>, _>(4)?.map(moment),
    })
}

pub(super) fn run_id(row: &PgRow, index: usize) -> Result<RunId, sqlx::Error> {
    RunId::new(text(row, index)?).map_err(|_| undecodable("run_id"))
}

pub(super) fn text(row: &PgRow, index: usize) -> Result<String, sqlx::Error> {
    Ok(text::loaded(row.try_get(index)?))
}

fn optional(row: &PgRow, index: usize) -> Result<Option<String>, sqlx::Error> {
    Ok(row.try_get::<Option<String>, _>(index)?.map(text::loaded))
}

fn payload(row: &PgRow, index: usize) -> Result<Option<Payload>, sqlx::Error> {
    let stored = row.try_get::<Option<String>, _>(index)?;
    Ok(stored.map(|stored| Payload::from_stored(text::loaded(stored))))
}

pub(super) fn fingerprint(row: &PgRow, index: usize) -> Result<Option<Fingerprint>, sqlx::Error> {
    let bits = row.try_get::<Option<i64>, _>(index)?;
    Ok(bits.map(|bits| Fingerprint::from_bits(bits.cast_unsigned())))
}

fn kind_of(number: i16, column: &'static str) -> Result<Kind, sqlx::Error> {
    u8::try_from(number).ok().and_then(Kind::from_number).ok_or_else(|| undecodable(column))
}

pub(super) fn ttl_millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.min(LONGEST_TTL).as_millis()).unwrap_or(i64::MAX)
}

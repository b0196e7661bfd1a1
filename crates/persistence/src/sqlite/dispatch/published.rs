//! Published values and streams.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use awaitly_core::journal::Payload;
use awaitly_core::store::{Lease, Publish, RunId, StreamPart};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::super::apply::Batch;
use super::super::checksum::{self, with_checksum};
use super::super::error::Failure;
use super::super::rows::text;
use super::super::runs::{self, of_text};
use crate::limits;

/// A request for items of a stream.
#[derive(Debug)]
pub(in super::super) struct Streamed {
    pub(super) run: RunId,
    pub(super) stream: Arc<str>,
    pub(super) from: u64,
    pub(super) limit: usize,
}

/// The position of a published value. The positions of the items of streams are their indexes.
const VALUE: i64 = -1;

/// The maximum number of items of one part of a stream.
const MOST: usize = 1000;

const LAST: &str = "SELECT max(position) FROM awaitly_published WHERE run = ? AND name = ? AND position >= 0";

const PUT: &str = concat!(
    "INSERT OR REPLACE INTO awaitly_published (",
    published_columns!(),
    ", checksum) VALUES (?1, ?2, ?3, ?4, ?5)"
);

/// Selects the items of a stream, or the value at the position -1.
const ITEMS: &str = concat!(
    "SELECT ",
    published_columns!(),
    ", checksum FROM awaitly_published WHERE run = ?1 AND name = ?2 AND position >= ?3 ORDER BY position LIMIT ?4"
);

const DROP_STREAMS: &str = "DELETE FROM awaitly_published WHERE run = ? AND position >= 0";

impl Batch<'_> {
    /// Publishes values. If one of them is refused, publishes none.
    pub(super) fn publish(&mut self, lease: &Lease, published: &[Publish]) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        let mut lengths = HashMap::new();
        let mut new = Vec::with_capacity(published.len());
        for one in published {
            let Some(index) = one.index else {
                new.push((one, VALUE));
                continue;
            };
            let length = match lengths.entry(&*one.name) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.length(lease.slot(), &one.name)?),
            };
            limits::stream_item(one, *length)?;
            if index == *length {
                *length += 1;
                new.push((one, index.cast_signed()));
            }
        }
        for (one, position) in new {
            let [slot, position] = [lease.slot(), position].map(ValueRef::Integer);
            let values = [slot, of_text(&one.name), position, of_text(one.payload.as_str())];
            self.execute(PUT, with_checksum(&values))?;
        }
        Ok(())
    }

    /// Returns the number of items of a stream.
    fn length(&self, slot: i64, stream: &str) -> Result<u64, Failure> {
        let mut statement = self.connection.prepare_cached(LAST)?;
        let last: Option<i64> = statement.query_row((slot, stream), |row| row.get(0))?;
        Ok(last.map_or(0, |last| last.cast_unsigned() + 1))
    }

    pub(super) fn drop_streams(&self, slot: i64) -> Result<(), Failure> {
        self.execute(DROP_STREAMS, [slot]).map(drop)
    }

    /// Removes the published values and the streams of a deleted run.
    pub(in super::super) fn drop_published(&self, slot: i64) -> Result<(), Failure> {
        self.execute("DELETE FROM awaitly_published WHERE run = ?", [slot]).map(drop)
    }
}

/// Reads the value that a run published under `name`.
pub(in super::super) fn value(
    connection: &mut Connection,
    run: &RunId,
    name: &str,
) -> Result<Option<Payload>, Failure> {
    let snapshot = connection.transaction()?;
    let Some(row) = runs::row(&snapshot, run)? else { return Ok(None) };
    let mut statement = snapshot.prepare_cached(ITEMS)?;
    let mut rows = statement.query((row.slot, name, VALUE, 1))?;
    match rows.next()? {
        Some(row) if row.get::<_, i64>(2)? == VALUE => payload(row).map(Some),
        _ => Ok(None),
    }
}

/// Reads a part of a stream.
pub(in super::super) fn part(
    connection: &mut Connection,
    streamed: &Streamed,
) -> Result<Option<StreamPart>, Failure> {
    let snapshot = connection.transaction()?;
    let Streamed { run, stream, from, limit } = streamed;
    let Some(row) = runs::row(&snapshot, run)? else { return Ok(None) };
    let from = i64::try_from(*from).unwrap_or(i64::MAX);
    let mut statement = snapshot.prepare_cached(ITEMS)?;
    let mut rows = statement.query((row.slot, &**stream, from, (*limit).min(MOST) as i64))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(payload(row)?);
    }
    Ok(Some(StreamPart { items, ended: row.header.status.has_ended() }))
}

/// Reads the payload from [`published_columns`] and their checksum.
fn payload(row: &Row<'_>) -> Result<Payload, Failure> {
    checksum::verify_published(row)?;
    Ok(Payload::from_stored(text(row, 3, "payload")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn items_are_found_in_the_order_of_their_table() {
        let items = "SEARCH awaitly_published USING PRIMARY KEY (run=? AND name=? AND position>?)";
        assert_eq!([plan(ITEMS), plan(LAST)], [items, items]);
    }
}

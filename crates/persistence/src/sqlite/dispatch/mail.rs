//! The mail of runs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use awaitly_core::journal::{Key, Outcome, Payload, Record, Status};
use awaitly_core::store::{Lease, Message, RunId, Unsent};
use rusqlite::types::ValueRef;

use super::super::apply::Batch;
use super::super::checksum::{self, with_checksum};
use super::super::error::Failure;
use super::super::rows::{self, text};
use super::super::runs::{self, RunRow, WAKE, of_text};

/// A run that gets mail.
struct Addressee {
    row: RunRow,
    /// The number of messages that the run has not received yet.
    unread: usize,
    got_mail: bool,
}

const UNREAD: &str = "SELECT count(*) FROM awaitly_mail WHERE run = ?";

const PUT_ID: &str =
    "INSERT INTO awaitly_mail_ids (run, id, checksum) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

const LAST: &str = "SELECT max(seq) FROM awaitly_mail WHERE run = ? AND mailbox = ?";

const PUT: &str =
    concat!("INSERT INTO awaitly_mail (", mail_columns!(), ", checksum) VALUES (?1, ?2, ?3, ?4, ?5)");

const OLDEST: &str = concat!(
    "SELECT ",
    mail_columns!(),
    ", checksum FROM awaitly_mail WHERE run = ? AND mailbox = ? ORDER BY seq LIMIT 1"
);

const TAKE: &str = "DELETE FROM awaitly_mail WHERE run = ? AND mailbox = ? AND seq = ?";

impl Batch<'_> {
    pub(super) fn send(&mut self, messages: &[Message]) -> Result<Vec<Result<(), Unsent>>, Failure> {
        // Reads all runs first. If one cannot be read, no message is sent.
        let mut addressees = HashMap::new();
        for message in messages {
            if let Entry::Vacant(place) = addressees.entry(&message.run) {
                place.insert(self.addressee(&message.run)?);
            }
        }
        let mut results = Vec::with_capacity(messages.len());
        for message in messages {
            results.push(match addressees.get_mut(&message.run).and_then(Option::as_mut) {
                Some(addressee) => self.deliver(message, addressee)?,
                None => message.check(None, 0),
            });
        }
        for Addressee { row, got_mail, .. } in addressees.into_values().flatten() {
            if got_mail {
                self.wake_by_mail(row)?;
            }
        }
        Ok(results)
    }

    fn addressee(&self, run: &RunId) -> Result<Option<Addressee>, Failure> {
        let Some(row) = runs::row(self.connection, run)? else { return Ok(None) };
        let unread = self.unread(row.slot)?;
        Ok(Some(Addressee { row, unread, got_mail: false }))
    }

    /// Returns the number of messages that a run has not received yet.
    fn unread(&self, slot: i64) -> Result<usize, Failure> {
        let mut statement = self.connection.prepare_cached(UNREAD)?;
        let unread: i64 = statement.query_row([slot], |row| row.get(0))?;
        Ok(usize::try_from(unread).unwrap_or(0))
    }

    fn deliver(&self, message: &Message, addressee: &mut Addressee) -> Result<Result<(), Unsent>, Failure> {
        let Addressee { row, unread, got_mail } = addressee;
        if let Err(unsent) = message.check(Some(row.header.status), *unread) {
            return Ok(Err(unsent));
        }
        let slot = ValueRef::Integer(row.slot);
        if let Some(id) = &message.id
            && self.execute(PUT_ID, with_checksum(&[slot, of_text(id)]))? == 0
        {
            return Ok(Ok(()));
        }
        let mut statement = self.connection.prepare_cached(LAST)?;
        let last: Option<i64> = statement.query_row((row.slot, &*message.mailbox), |row| row.get(0))?;
        let seq = ValueRef::Integer(last.unwrap_or(0) + 1);
        let values = [slot, of_text(&message.mailbox), seq, of_text(message.payload.as_str())];
        self.execute(PUT, with_checksum(&values))?;
        (*unread, *got_mail) = (*unread + 1, true);
        Ok(Ok(()))
    }

    /// Makes a waiting run due. If the run is running, marks it, so that it is due as soon as it waits.
    fn wake_by_mail(&mut self, mut row: RunRow) -> Result<(), Failure> {
        if !row.header.has_begun() && row.held.is_none() {
            // The run has not begun, so it has found no mailbox empty.
            return Ok(());
        }
        if row.header.status == Status::Waiting {
            row.header.wake = Some(self.now);
        } else if row.has_mail {
            return Ok(());
        }
        row.has_mail = true;
        self.write(WAKE, &mut row)
    }

    /// Takes the oldest message of a mailbox, and records it.
    pub(super) fn receive(
        &mut self,
        lease: &Lease,
        mailbox: &str,
        key: &Key,
    ) -> Result<Option<Outcome>, Failure> {
        let mut row = self.held_row(lease)?;
        if let Some(record) = rows::record_under(self.connection, row.slot, key)? {
            return Ok(Some(record.outcome));
        }
        let Some((seq, payload)) = self.oldest(row.slot, mailbox)? else {
            // Another mailbox may contain a message that came since the run looked there.
            if row.has_mail && self.unread(row.slot)? == 0 {
                row.has_mail = false;
                self.write(WAKE, &mut row)?;
            }
            return Ok(None);
        };
        self.execute(TAKE, (row.slot, mailbox, seq))?;
        let outcome = Outcome::Value(payload);
        self.put_answer(&row, &Record { key: key.clone(), outcome: outcome.clone(), input: None })?;
        Ok(Some(outcome))
    }

    fn oldest(&self, slot: i64, mailbox: &str) -> Result<Option<(i64, Payload)>, Failure> {
        let mut statement = self.connection.prepare_cached(OLDEST)?;
        let mut rows = statement.query((slot, mailbox))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        checksum::verify_mail(row)?;
        Ok(Some((row.get(2)?, Payload::from_stored(text(row, 3, "payload")?))))
    }

    /// Removes the mail of a deleted run.
    pub(in super::super) fn drop_mail(&self, slot: i64) -> Result<(), Failure> {
        self.execute("DELETE FROM awaitly_mail WHERE run = ?", [slot])?;
        self.execute("DELETE FROM awaitly_mail_ids WHERE run = ?", [slot]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn mail_is_found_in_the_order_of_its_table() {
        let mailbox = "SEARCH awaitly_mail USING PRIMARY KEY (run=? AND mailbox=?)";
        assert_eq!([plan(OLDEST), plan(LAST)], [mailbox, mailbox]);
        assert_eq!(plan(UNREAD), "SEARCH awaitly_mail USING PRIMARY KEY (run=?)");
    }
}

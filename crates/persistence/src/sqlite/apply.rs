//! The writes of the holders of leases.

use std::time::Duration;

use awaitly_core::journal::{
    Asked, Contents, Key, Outcome, Record, Settling, Timestamp, Unanswered, WaitEntry, settle,
};
use awaitly_core::store::{Durability, Ending, Input, Lease, Renewed, Rewrite, RunId, StoreError, Wait};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::checksum::with_checksum;
use super::clock::{expiry, millis, remaining};
use super::dispatch::Queues;
use super::error::Failure;
use super::leases::{Leases, first_seq};
use super::owners::Owners;
use super::rows;
use super::runs::{self, Columns, Held, LEASE, RENEWAL, RunRow, STATUS, VERSION, WholeRow};
use crate::limits;

/// A transaction, and the state that its operations need.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) leases: &'a mut Leases,
    pub(super) queues: &'a mut Queues,
    pub(super) owners: &'a Owners,
    pub(super) now: Timestamp,
    /// The id of the next new run, once it is known.
    pub(super) next_slot: Option<i64>,
}

/// A write by the holder of a lease.
#[derive(Debug)]
pub(super) enum Change {
    Append(Record, Durability),
    Replace(Record, Durability),
    Wait(Wait),
    Revive(Vec<Key>),
    Rewrite(Box<Rewrite>),
    Finish(Box<Ending>),
    Restart(Option<Input>),
}

const APPEND: &str = concat!(
    "INSERT INTO awaitly_steps (",
    step_columns!(),
    ", checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING"
);

const REPLACE: &str = concat!(
    "INSERT OR REPLACE INTO awaitly_steps (",
    step_columns!(),
    ", checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
);

const WAIT: &str = concat!(
    "INSERT INTO awaitly_waits (",
    wait_columns!(""),
    ", checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING"
);

impl Batch<'_> {
    pub(super) fn change(&mut self, lease: &Lease, change: &Change) -> Result<(), Failure> {
        match change {
            Change::Append(record, _) => self.append(lease, record),
            Change::Replace(record, _) => self.insert(REPLACE, lease, record).map(drop),
            Change::Wait(wait) => self.wait(lease, wait),
            Change::Revive(drop) => self.revive(lease, drop),
            Change::Rewrite(rewrite) => self.rewrite(lease, rewrite),
            Change::Finish(ending) => self.finish(lease, ending),
            Change::Restart(input) => self.restart(lease, input.as_ref()),
        }
    }

    pub(super) fn renew(&mut self, lease: &Lease, ttl: Duration) -> Result<Renewed, Failure> {
        let mut row = self.held_row(lease)?;
        if let Some(held) = &mut row.held {
            held.until = expiry(self.now, ttl);
        }
        self.write(RENEWAL, &mut row)?;
        Ok(Renewed { now: self.now, cancel: row.header.cancel_requested })
    }

    pub(super) fn release(&mut self, lease: &Lease) -> Result<(), Failure> {
        let mut row = self.held_row(lease)?;
        row.held = None;
        self.write(LEASE, &mut row)?;
        self.leases.given_back(lease.slot());
        Ok(())
    }

    pub(super) fn close_entry(
        &mut self,
        lease: &Lease,
        record: &Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, Failure> {
        let row = self.held_row(lease)?;
        match self.settle(&row, &record.key, settling, None)? {
            Ok(()) => self.put_answer(&row, record).map(|()| Some(record.outcome.clone())),
            Err(Unanswered::AlreadyAnswered) => {
                Ok(rows::record_under(self.connection, row.slot, &record.key)?.map(|record| record.outcome))
            }
            Err(_) => Ok(None),
        }
    }

    /// Returns the remaining time of a lease, if its owner still holds it.
    pub(super) fn lease(&self, held: Option<&Held>) -> Option<Duration> {
        let held = held?;
        let is_dead = || held.lock_file.as_ref().is_some_and(|name| self.owners.is_dead(name));
        Some(remaining(self.now, held.until)).filter(|remaining| !remaining.is_zero() && !is_dead())
    }

    fn revive(&mut self, lease: &Lease, drop: &[Key]) -> Result<(), Failure> {
        let mut whole = self.held_run(lease)?;
        whole.row.header.revive(self.now);
        // The run is executed from its beginning, so it finds the messages so far.
        whole.row.has_mail = false;
        self.write_whole(STATUS, &mut whole)?;
        for key in drop {
            self.execute(
                "DELETE FROM awaitly_steps WHERE run = ? AND key = ?",
                (lease.slot(), key.as_str()),
            )?;
        }
        Ok(())
    }

    fn append(&mut self, lease: &Lease, record: &Record) -> Result<(), Failure> {
        match self.insert(APPEND, lease, record)? {
            0 => Err(already_recorded(lease.run(), &record.key)),
            _ => Ok(()),
        }
    }

    fn wait(&mut self, lease: &Lease, wait: &Wait) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        if rows::is_recorded(self.connection, lease.slot(), &wait.key)? {
            return Err(already_recorded(lease.run(), &wait.key));
        }
        self.put_wait(lease.slot(), &wait.clone().begin(self.now))
    }

    fn rewrite(&mut self, lease: &Lease, rewrite: &Rewrite) -> Result<(), Failure> {
        let mut row = self.held_row(lease)?;
        let Contents { records, waits, failed_on } = &rewrite.contents;
        // Checks the journal first, because a refusal must not leave half of the new journal in the batch.
        limits::journal(lease.run(), records, waits)?;
        let waiting = rows::waits(self.connection, lease.slot())?;
        rewrite.check(lease.run(), waiting.iter().map(|entry| &entry.key))?;
        self.drop_journal(lease.slot())?;
        for record in records {
            self.append(lease, record)?;
        }
        for entry in waits {
            self.put_wait(lease.slot(), entry)?;
        }
        (row.header.version, row.header.failed_on) = (rewrite.version, failed_on.clone());
        row.write(self.connection, VERSION)
    }

    fn finish(&mut self, lease: &Lease, ending: &Ending) -> Result<(), Failure> {
        let mut whole = self.held_run(lease)?;
        let mut answered = whole.row.has_mail && !ending.waits_on.is_empty();
        for key in &ending.waits_on {
            answered |= rows::is_recorded(self.connection, lease.slot(), key)?;
        }
        whole.row.header.end(ending.clone(), answered, self.now);
        whole.row.held = None;
        self.write_whole(STATUS, &mut whole)?;
        self.leases.given_back(lease.slot());
        self.report(&whole.row)
    }

    /// Reads the run that `lease` may still write.
    pub(super) fn held_row(&mut self, lease: &Lease) -> Result<RunRow, Failure> {
        self.leases.confirm(self.connection, lease)?;
        Ok(runs::row_in(self.connection, lease.slot())?.ok_or_else(|| lost(lease))?)
    }

    /// Reads the run that `lease` may still write, including its input.
    pub(super) fn held_run(&mut self, lease: &Lease) -> Result<WholeRow, Failure> {
        self.leases.confirm(self.connection, lease)?;
        Ok(runs::whole_in(self.connection, lease.slot())?.ok_or_else(|| lost(lease))?)
    }

    /// Writes the changed columns of a run, and puts it on the list that belongs to its new state.
    pub(super) fn write(&mut self, columns: Columns, row: &mut RunRow) -> Result<(), Failure> {
        row.list(self.now);
        row.write(self.connection, columns)?;
        self.follow(row)
    }

    /// Does the work of [`write`](Self::write) for a run whose outcome changed, too.
    pub(super) fn write_whole(&mut self, columns: Columns, whole: &mut WholeRow) -> Result<(), Failure> {
        whole.row.list(self.now);
        whole.write(self.connection, columns)?;
        self.follow(&mut whole.row)
    }

    pub(super) fn settle(
        &self,
        run: &RunRow,
        key: &Key,
        settling: Settling,
        token: Option<&str>,
    ) -> Result<Result<(), Unanswered>, Failure> {
        let entry = rows::wait_under(self.connection, run.slot, key)?;
        let recorded = rows::is_recorded(self.connection, run.slot, key)?;
        let asked = Asked { status: run.header.status, entry: entry.as_ref(), recorded };
        Ok(settle(Some(asked), settling, token, self.now))
    }

    /// Replaces the waiting entry with its outcome.
    pub(super) fn put_answer(&mut self, run: &RunRow, record: &Record) -> Result<(), Failure> {
        self.execute("DELETE FROM awaitly_waits WHERE run = ? AND key = ?", (run.slot, record.key.as_str()))?;
        // The record is numbered after all existing records. Another process that writes under the lease may give its
        // next record an equal number, and then the key decides which of the two comes first.
        let last = rows::last_seq(self.connection, run.slot)?.unwrap_or(0);
        let seq = match self.leases.known(run.slot) {
            Some(held) => held.next_seq(self.connection, run.slot)?,
            None => last.max(first_seq(run.token)) + 1,
        };
        self.put_record(run.slot, seq, record).map(drop)
    }

    /// Removes all records and waiting entries of a run.
    pub(super) fn drop_journal(&self, slot: i64) -> Result<(), Failure> {
        self.execute("DELETE FROM awaitly_steps WHERE run = ?", [slot])?;
        self.execute("DELETE FROM awaitly_waits WHERE run = ?", [slot]).map(drop)
    }

    pub(super) fn put_wait(&self, slot: i64, entry: &WaitEntry) -> Result<(), Failure> {
        let WaitEntry { key, token, request, since, expires } = entry;
        let values = [
            ValueRef::Integer(slot),
            ValueRef::Text(key.as_str().as_bytes()),
            ValueRef::Text(token.as_bytes()),
            ValueRef::Text(request.as_str().as_bytes()),
            ValueRef::Integer(millis(*since)),
            expires.map_or(ValueRef::Null, |expires| ValueRef::Integer(millis(expires))),
        ];
        self.execute(WAIT, with_checksum(&values)).map(drop)
    }

    /// Executes one of the two statements that write a record, and returns the number of changed rows.
    fn insert(&mut self, sql: &str, lease: &Lease, record: &Record) -> Result<usize, Failure> {
        let held = self.leases.confirm(self.connection, lease)?;
        let seq = held.next_seq(self.connection, lease.slot())?;
        self.put(sql, lease.slot(), seq, record)
    }

    /// Adds a record, unless its key has one already.
    pub(super) fn put_record(&self, slot: i64, seq: i64, record: &Record) -> Result<usize, Failure> {
        self.put(APPEND, slot, seq, record)
    }

    fn put(&self, sql: &str, slot: i64, seq: i64, record: &Record) -> Result<usize, Failure> {
        let input = record.input.map(|input| input.to_bits().cast_signed());
        let values = [
            ValueRef::Integer(slot),
            ValueRef::Text(record.key.as_str().as_bytes()),
            ValueRef::Integer(seq),
            ValueRef::Integer(record.outcome.kind().to_number().into()),
            ValueRef::Text(record.outcome.payload().as_str().as_bytes()),
            input.map_or(ValueRef::Null, ValueRef::Integer),
            ValueRef::Integer(millis(self.now)),
        ];
        Ok(self.connection.prepare_cached(sql)?.execute(with_checksum(&values))?)
    }

    pub(super) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, Failure> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }
}

fn already_recorded(run: &RunId, key: &Key) -> Failure {
    StoreError::AlreadyRecorded { run: (**run).into(), key: key.clone() }.into()
}

fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost { run: (**lease.run()).into() }
}

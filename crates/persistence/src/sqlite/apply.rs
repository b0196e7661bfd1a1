use std::time::Duration;

use awaitly_core::journal::{
    Asked, Contents, Header, Key, Opening, Outcome, Payload, Record, Refused, Settling, Status, Timestamp,
    Unanswered, WaitEntry, admit, settle,
};
use awaitly_core::store::{
    Answer, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Durability, Ending, Lease, Open, Renewed,
    Rewrite, RunId, StoreError, StoredRun, Wait,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::checksum::{step_columns, wait_columns, with_checksum};
use super::clock::{expiry, millis, remaining};
use super::error::{Failure, undecodable};
use super::leases::{Leases, first_seq};
use super::owners::Owners;
use super::rows::{self, Held, RunRow};
use crate::limits;
use crate::unclaimed::Unclaimed;

/// A transaction, and the state that its operations need.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) leases: &'a mut Leases,
    pub(super) owners: &'a Owners,
    pub(super) now: Timestamp,
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
}

/// The answer to a request for the lease of a run.
#[derive(Debug)]
pub(super) enum Admitted {
    /// The caller has the lease. The other fields show the run before this.
    Held {
        lease: Unclaimed,
        now: Timestamp,
        header: Header,
        input: Option<Payload>,
        /// The slot of a run that may have records and waiting entries, which are read next; `None` if the run has just
        /// begun.
        found: Option<i64>,
    },
    Ended(Header),
    Refused(Refused),
}

/// The next id exceeds all existing and all deleted ids.
const BEGIN: &str = "INSERT INTO awaitly_runs (id, run_id, workflow, version, status, input, input_fingerprint, \
     token, owner, owner_file, lease_until, created_at, changed_at) \
     VALUES (max((SELECT coalesce(max(id), 0) + 1 FROM awaitly_runs), (SELECT run FROM awaitly_next)), \
     ?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, ?9, ?10, ?10)";

const TAKE: &str =
    "UPDATE awaitly_runs SET token = ?2, owner = ?3, owner_file = ?4, lease_until = ?5 WHERE id = ?1";

const REVIVE: &str = "UPDATE awaitly_runs SET status = ?2, outcome_kind = NULL, outcome = NULL, error = NULL, \
     failed_on = '[]', changed_at = ?3, wake_at = NULL WHERE id = ?1";

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

/// Everything of a run except its lease, after the run ended or began to wait.
const END: &str = "UPDATE awaitly_runs SET status = ?2, outcome_kind = ?3, outcome = ?4, error = ?5, \
     failed_on = ?6, changed_at = ?7, wake_at = ?8, cancel_requested = ?9 WHERE id = ?1";

const IS_TO_BE_CANCELLED: &str = "SELECT cancel_requested FROM awaitly_runs WHERE id = ?";

const RELEASE: &str =
    "UPDATE awaitly_runs SET owner = NULL, owner_file = NULL, lease_until = 0 WHERE id = ?1";

const IMPORT: &str = "INSERT INTO awaitly_runs (id, run_id, workflow, version, status, input, input_fingerprint, \
     token, lease_until, created_at, changed_at) \
     VALUES (max((SELECT coalesce(max(id), 0) + 1 FROM awaitly_runs), (SELECT run FROM awaitly_next)), \
     ?1, ?2, ?3, ?4, ?5, ?6, 1, 0, ?7, ?7)";

impl Batch<'_> {
    pub(super) fn open(&mut self, request: &Open) -> Result<Admitted, Failure> {
        let stored = rows::run(self.connection, &request.run)?;
        let known = stored.as_ref().map(|run| (&run.header, self.lease(run.held.as_ref())));
        match (admit(request, known), stored) {
            (Opening::Begin, _) => self.begin(request),
            (Opening::Take, Some(run)) => self.take(request, run),
            (Opening::Ended, Some(run)) => Ok(Admitted::Ended(run.header)),
            (Opening::Refuse(refused), _) => Ok(Admitted::Refused(refused)),
            // Unreachable, because a run that is not stored begins.
            (_, None) => Err(undecodable("run_id").into()),
        }
    }

    pub(super) fn change(&mut self, lease: &Lease, change: &Change) -> Result<(), Failure> {
        match change {
            Change::Append(record, _) => self.append(lease, record),
            Change::Replace(record, _) => self.insert(REPLACE, lease, record).map(drop),
            Change::Wait(wait) => self.wait(lease, wait),
            Change::Revive(drop) => self.revive(lease, drop),
            Change::Rewrite(rewrite) => self.rewrite(lease, rewrite),
            Change::Finish(ending) => self.finish(lease, ending),
        }
    }

    pub(super) fn renew(&mut self, lease: &Lease, ttl: std::time::Duration) -> Result<Renewed, Failure> {
        self.leases.confirm(self.connection, lease)?;
        let mut statement = self.connection.prepare_cached(
            "UPDATE awaitly_runs SET lease_until = ?2 WHERE id = ?1 RETURNING cancel_requested",
        )?;
        let until = millis(expiry(self.now, ttl));
        let cancel = statement.query_row((lease.slot(), until), |row| row.get(0))?;
        Ok(Renewed { now: self.now, cancel })
    }

    pub(super) fn release(&mut self, lease: &Lease) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        self.execute(RELEASE, [lease.slot()])?;
        self.leases.given_back(lease.slot());
        Ok(())
    }

    pub(super) fn close_entry(
        &mut self,
        lease: &Lease,
        record: &Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, Failure> {
        self.leases.confirm(self.connection, lease)?;
        let Some(run) = rows::run(self.connection, lease.run())? else {
            return Ok(None);
        };
        match self.settle(&run, &record.key, settling, None)? {
            Ok(()) => self.put_answer(&run, record).map(|()| Some(record.outcome.clone())),
            Err(Unanswered::AlreadyAnswered) => {
                Ok(rows::record_under(self.connection, run.slot, &record.key)?.map(|record| record.outcome))
            }
            Err(_) => Ok(None),
        }
    }

    pub(super) fn answer(&mut self, answer: &Answer) -> Result<Result<(), Unanswered>, Failure> {
        let Answer { run, key, token, outcome } = answer;
        let Some(run) = rows::run(self.connection, run)? else {
            return Ok(Err(Unanswered::NoSuchRun));
        };
        if let Err(refused) = self.settle(&run, key, Settling::Answer, token.as_deref())? {
            return Ok(Err(refused));
        }
        self.put_answer(&run, &Record { key: key.clone(), outcome: outcome.clone(), input: None })?;
        if run.header.status == Status::Waiting {
            self.execute("UPDATE awaitly_runs SET wake_at = ?2 WHERE id = ?1", (run.slot, millis(self.now)))?;
        }
        Ok(Ok(()))
    }

    pub(super) fn cancel(&mut self, run: &RunId, cancelling: Cancelling) -> Result<Cancelled, Failure> {
        let Some(RunRow { slot, mut header, held, .. }) = rows::run(self.connection, run)? else {
            return Ok(Cancelled::NoSuchRun);
        };
        let is_too_late = rows::is_recorded(self.connection, slot, &Key::TOO_LATE_TO_CANCEL)?;
        let cancelled = cancelling.decide(&header, self.lease(held.as_ref()), is_too_late);
        match cancelled {
            Cancelled::Requested => {
                header.request_cancel(self.now);
                self.end(slot, &header)?;
            }
            Cancelled::WithoutUndo => {
                header.end(Ending::new(Status::Cancelled), false, self.now);
                self.end(slot, &header)?;
                self.execute(RELEASE, [slot])?;
                self.leases.given_back(slot);
            }
            _ => {}
        }
        Ok(cancelled)
    }

    pub(super) fn delete(&mut self, runs: &[RunId], condition: DeleteIf) -> Result<Vec<RunId>, Failure> {
        // Reads all records first, so that an unreadable one does not leave half of the others deleted.
        let mut found = Vec::new();
        for run in runs {
            if let Some(RunRow { slot, header, held, .. }) = rows::run(self.connection, run)?
                && condition.holds(header.status, header.changed, self.lease(held.as_ref()))
                && !found.iter().any(|(_, known)| *known == slot)
            {
                found.push((run, slot));
            }
        }
        let mut deleted = Vec::new();
        for (run, slot) in found {
            self.execute("DELETE FROM awaitly_steps WHERE run = ?", [slot])?;
            self.execute("DELETE FROM awaitly_waits WHERE run = ?", [slot])?;
            self.execute("DELETE FROM awaitly_runs WHERE id = ?", [slot])?;
            self.execute("UPDATE awaitly_next SET run = max(run, ?1 + 1)", [slot])?;
            self.leases.given_back(slot);
            deleted.push(run.clone());
        }
        Ok(deleted)
    }

    pub(super) fn import(&mut self, run: &RunId, stored: &StoredRun) -> Result<bool, Failure> {
        let StoredRun { header, input, records, waits } = stored;
        limits::imported(run, stored)?;
        if rows::run(self.connection, run)?.is_some() {
            return Ok(false);
        }
        self.execute(
            IMPORT,
            params![
                &**run,
                &*header.workflow,
                header.version,
                header.status.as_str(),
                input.as_ref().map(Payload::as_str),
                header.input.map(|input| input.to_bits().cast_signed()),
                millis(header.created),
            ],
        )?;
        let slot = self.connection.last_insert_rowid();
        self.end(slot, header)?;
        // The records get numbers as if a first owner had written them.
        for (number, record) in (1..).zip(records) {
            self.put(APPEND, slot, number, record)?;
        }
        for entry in waits {
            self.put_wait(slot, entry)?;
        }
        Ok(true)
    }

    pub(super) fn due(&self, query: &DueQuery) -> Result<Vec<Due>, Failure> {
        let mut due = Vec::new();
        rows::open_runs(self.connection, self.now, |RunRow { run, header, held, .. }| {
            if !query.asks_for(&header.workflow) {
                return;
            }
            let free = self.lease(held.as_ref()).is_none();
            let until =
                held.map(|held| held.until).map(|until| if free { until.min(self.now) } else { until });
            if let Some(since) = header.due_at(until).filter(|due| *due <= self.now) {
                due.push(Due { run, workflow: header.workflow, version: header.version, since });
            }
        })?;
        Ok(limits::longest_overdue(due, query.page_limit()))
    }

    /// Returns the remaining time of a lease, if its owner still holds it.
    fn lease(&self, held: Option<&Held>) -> Option<Duration> {
        let held = held?;
        let is_dead = || held.owner_file.as_ref().is_some_and(|name| self.owners.is_dead(name));
        Some(remaining(self.now, held.until)).filter(|remaining| !remaining.is_zero() && !is_dead())
    }

    fn begin(&mut self, request: &Open) -> Result<Admitted, Failure> {
        let header = Header::begin(request, self.now);
        let input = request.input.as_ref().map(|input| input.payload.clone());
        self.execute(
            BEGIN,
            params![
                &*request.run,
                &*request.workflow,
                request.version,
                header.status.as_str(),
                input.as_ref().map(Payload::as_str),
                header.input.map(|input| input.to_bits().cast_signed()),
                request.owner.as_str(),
                self.owners.own(),
                millis(expiry(self.now, request.ttl)),
                millis(self.now),
            ],
        )?;
        let lease = Lease::new(request.run.clone(), 1, self.connection.last_insert_rowid());
        self.leases.given(&lease);
        Ok(Admitted::Held { lease: Unclaimed::new(lease), now: self.now, header, input, found: None })
    }

    fn take(&mut self, request: &Open, run: RunRow) -> Result<Admitted, Failure> {
        let lease = Lease::new(request.run.clone(), run.token + 1, run.slot);
        self.execute(
            TAKE,
            params![
                run.slot,
                lease.token().cast_signed(),
                request.owner.as_str(),
                self.owners.own(),
                millis(expiry(self.now, request.ttl)),
            ],
        )?;
        self.leases.given(&lease);
        let (lease, RunRow { slot, header, input, .. }) = (Unclaimed::new(lease), run);
        Ok(Admitted::Held { lease, now: self.now, header, input, found: Some(slot) })
    }

    fn revive(&mut self, lease: &Lease, drop: &[Key]) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        self.execute(REVIVE, (lease.slot(), Status::Running.as_str(), millis(self.now)))?;
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
        self.leases.confirm(self.connection, lease)?;
        let Contents { records, waits, failed_on } = &rewrite.contents;
        // Checks the journal first, because a refusal must not leave half of the new journal in the batch.
        limits::journal(lease.run(), records, waits)?;
        let waiting = rows::waits(self.connection, lease.slot())?;
        rewrite.check(lease.run(), waiting.iter().map(|entry| &entry.key))?;
        let failed_on = Payload::encode(failed_on).map_err(|_| undecodable("failed_on"))?;
        self.execute("DELETE FROM awaitly_steps WHERE run = ?", [lease.slot()])?;
        self.execute("DELETE FROM awaitly_waits WHERE run = ?", [lease.slot()])?;
        for record in records {
            self.append(lease, record)?;
        }
        for entry in waits {
            self.put_wait(lease.slot(), entry)?;
        }
        self.execute(
            "UPDATE awaitly_runs SET version = ?2, failed_on = ?3 WHERE id = ?1",
            (lease.slot(), rewrite.version, failed_on.as_str()),
        )
    }

    fn finish(&mut self, lease: &Lease, ending: &Ending) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        let mut answered = false;
        for key in &ending.waits_on {
            answered |= rows::is_recorded(self.connection, lease.slot(), key)?;
        }
        // The workflow and the other columns of the row stay unchanged.
        let mut header = Header::new("".into(), 0, ending.status, self.now);
        let mut statement = self.connection.prepare_cached(IS_TO_BE_CANCELLED)?;
        header.cancel_requested = statement.query_row([lease.slot()], |row| row.get(0))?;
        header.end(ending.clone(), answered, self.now);
        self.end(lease.slot(), &header)?;
        self.execute(RELEASE, [lease.slot()])?;
        self.leases.given_back(lease.slot());
        Ok(())
    }

    /// Writes the status of a run.
    fn end(&self, slot: i64, header: &Header) -> Result<(), Failure> {
        // A list of strings always has a JSON form.
        let failed_on = Payload::encode(&header.failed_on).map_err(|_| undecodable("failed_on"))?;
        let outcome = header.outcome.as_ref();
        self.execute(
            END,
            params![
                slot,
                header.status.as_str(),
                outcome.map(|outcome| outcome.kind().to_number()),
                outcome.map(|outcome| outcome.payload().as_str()),
                header.error.as_deref(),
                failed_on.as_str(),
                millis(header.changed),
                header.wake.map(millis),
                header.cancel_requested,
            ],
        )
    }

    fn settle(
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
    fn put_answer(&mut self, run: &RunRow, record: &Record) -> Result<(), Failure> {
        self.execute("DELETE FROM awaitly_waits WHERE run = ? AND key = ?", (run.slot, record.key.as_str()))?;
        // The record is numbered after all existing records. Another process that writes under the lease may give its
        // next record an equal number, and then the key decides which of the two comes first.
        let last = rows::last_seq(self.connection, run.slot)?.unwrap_or(0);
        let seq = match self.leases.known(run.slot) {
            Some(held) => held.next_seq(self.connection, run.slot)?,
            None => last.max(first_seq(run.token)) + 1,
        };
        self.put(APPEND, run.slot, seq, record).map(drop)
    }

    fn put_wait(&self, slot: i64, entry: &WaitEntry) -> Result<(), Failure> {
        let WaitEntry { key, token, request, since, expires } = entry;
        let values = [
            ValueRef::Integer(slot),
            ValueRef::Text(key.as_str().as_bytes()),
            ValueRef::Text(token.as_bytes()),
            ValueRef::Text(request.as_str().as_bytes()),
            ValueRef::Integer(millis(*since)),
            expires.map_or(ValueRef::Null, |expires| ValueRef::Integer(millis(expires))),
        ];
        self.execute(WAIT, with_checksum(&values))
    }

    /// Executes one of the two statements that write a record, and returns the number of changed rows.
    fn insert(&mut self, sql: &str, lease: &Lease, record: &Record) -> Result<usize, Failure> {
        let held = self.leases.confirm(self.connection, lease)?;
        let seq = held.next_seq(self.connection, lease.slot())?;
        self.put(sql, lease.slot(), seq, record)
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

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), Failure> {
        self.connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }
}

fn already_recorded(run: &RunId, key: &Key) -> Failure {
    StoreError::AlreadyRecorded { run: (**run).into(), key: key.clone() }.into()
}

use awaitly_core::journal::{Admission, Header, Key, LeaseInfo, Payload, Record, Status, admit};
use awaitly_core::store::{Ending, Lease, Open, RunId, StoreError};
use rusqlite::{Connection, params};

use super::clock::{expiry, remaining};
use super::error::{Failure, undecodable};
use super::leases::Leases;
use super::op::{Admitted, Change, Found};
use super::owners::Owners;
use super::rows::{self, RunRow};
use crate::limits;

/// A transaction, and what is needed to carry out one operation after another inside it.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) leases: &'a mut Leases,
    pub(super) owners: &'a Owners,
    pub(super) now: i64,
}

const BEGIN: &str = "INSERT INTO awaitly_runs (run_id, workflow, version, status, input, input_fingerprint, token, \
     owner, owner_lock, lease_until, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, ?9, ?10, ?10)";

const TAKE: &str = "UPDATE awaitly_runs SET token = ?2, owner = ?3, owner_lock = ?4, lease_until = ?5, \
     updated_at = ?6 WHERE id = ?1";

const REVIVE: &str = "UPDATE awaitly_runs SET status = ?2, outcome_kind = NULL, outcome = NULL, error = NULL, \
     failed_on = '[]', updated_at = ?3 WHERE id = ?1";

const APPEND: &str = "INSERT INTO awaitly_steps (run, key, seq, kind, payload, input_fingerprint, recorded_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";

const REPLACE: &str = "INSERT OR REPLACE INTO awaitly_steps \
     (run, key, seq, kind, payload, input_fingerprint, recorded_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const FINISH: &str = "UPDATE awaitly_runs SET status = ?2, outcome_kind = ?3, outcome = ?4, error = ?5, \
     failed_on = ?6, owner = NULL, owner_lock = NULL, lease_until = 0, updated_at = ?7 WHERE id = ?1";

const RELEASE: &str = "UPDATE awaitly_runs SET owner = NULL, owner_lock = NULL, lease_until = 0, updated_at = ?2 \
     WHERE id = ?1";

impl Batch<'_> {
    pub(super) fn open(&mut self, request: &Open) -> Result<Admitted<Lease>, Failure> {
        let stored = rows::run(self.connection, &request.run)?;
        let known = stored.as_ref().map(|run| (&run.header, self.lease_info(run)));
        match (admit(request, known), stored) {
            (Admission::Begin, _) => self.begin(request),
            (Admission::Take, Some(run)) => self.take(request, run),
            (Admission::Ended, Some(run)) => Ok(Admitted::Ended(run.header)),
            (Admission::Refuse(refused), _) => Ok(Admitted::Refused(refused)),
            // Not reached: a run that is not stored begins.
            (_, None) => Err(undecodable("run_id").into()),
        }
    }

    pub(super) fn change(&mut self, lease: &Lease, change: &Change) -> Result<(), Failure> {
        match change {
            Change::Append(record) => self.append(lease, record),
            Change::Replace(record) => self.replace(lease, record),
            Change::Revive(drop) => self.revive(lease, drop),
            Change::Rewrite { version, records } => self.rewrite(lease, *version, records),
            Change::Finish(ending) => self.finish(lease, ending),
            Change::Renew(ttl) => {
                self.leases.confirm(self.connection, lease)?;
                let until = expiry(self.now, *ttl);
                self.execute("UPDATE awaitly_runs SET lease_until = ?2 WHERE id = ?1", (lease.slot(), until))
            }
        }
    }

    pub(super) fn release(&mut self, lease: &Lease) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        self.execute(RELEASE, (lease.slot(), self.now))?;
        self.leases.given_back(lease);
        Ok(())
    }

    fn lease_info(&self, run: &RunRow) -> LeaseInfo {
        let Some(held) = &run.held else {
            return LeaseInfo::Free;
        };
        let remaining = remaining(self.now, held.until);
        if remaining.is_zero() || held.owner_lock.as_ref().is_some_and(|name| self.owners.is_dead(name)) {
            return LeaseInfo::Free;
        }
        LeaseInfo::Held(remaining)
    }

    fn begin(&mut self, request: &Open) -> Result<Admitted<Lease>, Failure> {
        let header = Header::begin(request);
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
                expiry(self.now, request.ttl),
                self.now,
            ],
        )?;
        let lease = Lease::new(request.run.clone(), 1, self.connection.last_insert_rowid());
        self.leases.given(&lease);
        Ok(Admitted::Held { lease, found: Found::Nothing, header, input })
    }

    fn take(&mut self, request: &Open, run: RunRow) -> Result<Admitted<Lease>, Failure> {
        let lease = Lease::new(request.run.clone(), run.token + 1, run.slot);
        self.execute(
            TAKE,
            params![
                run.slot,
                lease.token().cast_signed(),
                request.owner.as_str(),
                self.owners.own(),
                expiry(self.now, request.ttl),
                self.now,
            ],
        )?;
        self.leases.given(&lease);
        Ok(Admitted::Held { lease, found: Found::Records, header: run.header, input: run.input })
    }

    fn revive(&mut self, lease: &Lease, drop: &[Key]) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        self.execute(REVIVE, (lease.slot(), Status::Running.as_str(), self.now))?;
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

    fn replace(&mut self, lease: &Lease, record: &Record) -> Result<(), Failure> {
        self.insert(REPLACE, lease, record).map(drop)
    }

    /// Executes one of the two statements that write a record, and says how many rows it changed.
    fn insert(&mut self, sql: &str, lease: &Lease, record: &Record) -> Result<usize, Failure> {
        let held = self.leases.confirm(self.connection, lease)?;
        let seq = held.next_seq(self.connection, lease.slot())?;
        let changed = self.connection.prepare_cached(sql)?.execute(params![
            lease.slot(),
            record.key.as_str(),
            seq,
            record.outcome.kind().to_number(),
            record.outcome.payload().as_str(),
            record.input.map(|input| input.to_bits().cast_signed()),
            self.now,
        ])?;
        Ok(changed)
    }

    fn rewrite(&mut self, lease: &Lease, version: u32, records: &[Record]) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        // Asked first: a refusal must not leave half of the new journal in the batch.
        limits::distinct_keys(lease.run(), records)?;
        self.execute("DELETE FROM awaitly_steps WHERE run = ?", [lease.slot()])?;
        for record in records {
            self.append(lease, record)?;
        }
        self.execute(
            "UPDATE awaitly_runs SET version = ?2, updated_at = ?3 WHERE id = ?1",
            (lease.slot(), version, self.now),
        )
    }

    fn finish(&mut self, lease: &Lease, ending: &Ending) -> Result<(), Failure> {
        self.leases.confirm(self.connection, lease)?;
        // A list of texts always has a JSON form.
        let failed_on = Payload::encode(&ending.failed_on).map_err(|_| undecodable("failed_on"))?;
        let outcome = ending.outcome.as_ref();
        self.execute(
            FINISH,
            params![
                lease.slot(),
                ending.status.as_str(),
                outcome.map(|outcome| outcome.kind().to_number()),
                outcome.map(|outcome| outcome.payload().as_str()),
                ending.error.as_deref(),
                failed_on.as_str(),
                self.now,
            ],
        )?;
        self.leases.given_back(lease);
        Ok(())
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), Failure> {
        self.connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }
}

fn already_recorded(run: &RunId, key: &Key) -> Failure {
    StoreError::AlreadyRecorded { run: (**run).into(), key: key.clone() }.into()
}

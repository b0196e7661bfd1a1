//! New runs, and leases for callers.

use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Header, Opening, Payload, Refused, Timestamp, admit};
use awaitly_core::store::{Open, Owner};
use rusqlite::types::ValueRef;

use super::apply::Batch;
use super::checksum::{self, with_checksum};
use super::clock::expiry;
use super::error::{Failure, undecodable};
use super::runs::{self, LEASE, RunRow, WholeRow, of_text};
use crate::unclaimed::{Back, Unclaimed};

/// The answer to a request for the lease of a run.
#[derive(Debug)]
pub(super) enum Admitted {
    /// The caller has the lease since this time.
    Held(Taken, Timestamp),
    Ended(Header),
    Refused(Refused),
}

/// A lease on its way to its caller, and the run.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) lease: Unclaimed,
    pub(super) header: Header,
    pub(super) input: Option<Payload>,
    /// The slot of a run that may have records and waiting entries, which are read next. `None` if no owner ever held
    /// the run.
    pub(super) found: Option<i64>,
}

impl Taken {
    /// Marks the lease as committed: from now on, dropping it releases it through `back`.
    pub(super) fn committed(self, back: Arc<dyn Back>) -> Self {
        Self { lease: self.lease.committed(back), ..self }
    }
}

/// The next id exceeds all existing and all deleted ids.
const NEXT: &str =
    "SELECT run, checksum, (SELECT coalesce(max(id), 0) + 1 FROM awaitly_runs) FROM awaitly_next";

const PUT_TAG: &str = "INSERT INTO awaitly_tags (tag, run, checksum) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

impl Batch<'_> {
    pub(super) fn open(&mut self, request: &Open) -> Result<Admitted, Failure> {
        let stored = runs::whole(self.connection, &request.run)?;
        let known = stored.as_ref().map(|whole| (&whole.row.header, self.lease(whole.row.held.as_ref())));
        match (admit(request, known), stored) {
            (Opening::Begin, _) => self.begin(request),
            (Opening::Take, Some(whole)) => self.take(request, whole),
            (Opening::Ended, Some(whole)) => Ok(Admitted::Ended(whole.row.header)),
            (Opening::Refuse(refused), _) => Ok(Admitted::Refused(refused)),
            // Unreachable, because a run that is not stored begins.
            (_, None) => Err(undecodable("run_id").into()),
        }
    }

    fn begin(&mut self, request: &Open) -> Result<Admitted, Failure> {
        let header = Header::begin(request, self.now);
        let input = request.input.as_ref().map(|input| input.payload.clone());
        let row = RunRow::new(self.next_slot()?, request.run.clone(), header, 0);
        let mut whole = WholeRow { row, input };
        let lease = self.lend(&mut whole.row, &request.owner, request.ttl);
        self.add(&mut whole)?;
        let WholeRow { row, input } = whole;
        Ok(Admitted::Held(Taken { lease, header: row.header, input, found: None }, self.now))
    }

    fn take(&mut self, request: &Open, whole: WholeRow) -> Result<Admitted, Failure> {
        let WholeRow { mut row, input } = whole;
        let found = row.may_have_journal().then_some(row.slot);
        let lease = self.lend(&mut row, &request.owner, request.ttl);
        self.write(LEASE, &mut row)?;
        Ok(Admitted::Held(Taken { lease, header: row.header, input, found }, self.now))
    }

    /// Gives the lease of a run to `owner`. The caller then writes the row.
    pub(super) fn lend(&mut self, row: &mut RunRow, owner: &Owner, ttl: Duration) -> Unclaimed {
        let lease = row.lend(owner, self.owners.own(), expiry(self.now, ttl));
        self.leases.given(&lease);
        Unclaimed::new(lease)
    }

    /// Adds a run in the [next slot](Self::next_slot). Returns `false` if a run with its id exists already.
    pub(super) fn add(&mut self, whole: &mut WholeRow) -> Result<bool, Failure> {
        whole.row.list(self.now);
        let is_new = whole.insert(self.connection)?;
        if is_new {
            self.next_slot = Some(whole.row.slot + 1);
            self.put_tags(&whole.row)?;
        }
        Ok(is_new)
    }

    /// Lists a new run under its tags.
    fn put_tags(&self, row: &RunRow) -> Result<(), Failure> {
        for tag in &row.header.tags {
            self.execute(PUT_TAG, with_checksum(&[of_text(tag), ValueRef::Integer(row.slot)]))?;
        }
        Ok(())
    }

    /// Removes a deleted run from the lists of its tags.
    pub(super) fn drop_tags(&self, row: &RunRow) -> Result<(), Failure> {
        for tag in &row.header.tags {
            self.execute("DELETE FROM awaitly_tags WHERE tag = ? AND run = ?", (&**tag, row.slot))?;
        }
        Ok(())
    }

    /// Returns the slot of the next new run.
    pub(super) fn next_slot(&mut self) -> Result<i64, Failure> {
        if let Some(next) = self.next_slot {
            return Ok(next);
        }
        let mut statement = self.connection.prepare_cached(NEXT)?;
        let mut rows = statement.query([])?;
        let row = rows.next()?.ok_or_else(|| undecodable("run"))?;
        checksum::verify_next(row)?;
        let next = row.get::<_, i64>(0)?.max(row.get(2)?);
        self.next_slot = Some(next);
        Ok(next)
    }
}

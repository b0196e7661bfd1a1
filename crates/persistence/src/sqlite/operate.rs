//! The changes that come from outside of the runs.

use awaitly_core::journal::{Key, Record, Settling, Status, Unanswered};
use awaitly_core::store::{Answer, Cancelled, Cancelling, DeleteIf, Ending, RunId, StoredRun};
use rusqlite::types::ValueRef;

use super::apply::Batch;
use super::checksum::{self, with_checksum};
use super::error::{Failure, undecodable};
use super::rows;
use super::runs::{self, RunRow, STATUS, WAKE, WholeRow};
use crate::limits;

impl Batch<'_> {
    pub(super) fn answer(&mut self, answer: &Answer) -> Result<Result<(), Unanswered>, Failure> {
        let Answer { run, key, token, outcome } = answer;
        let Some(mut row) = runs::row(self.connection, run)? else {
            return Ok(Err(Unanswered::NoSuchRun));
        };
        if let Err(refused) = self.settle(&row, key, Settling::Answer, token.as_deref())? {
            return Ok(Err(refused));
        }
        let record = Record { key: key.clone(), outcome: outcome.clone(), input: None };
        self.put_answer_and_wake(&mut row, &record)?;
        Ok(Ok(()))
    }

    pub(super) fn cancel(&mut self, run: &RunId, cancelling: Cancelling) -> Result<Cancelled, Failure> {
        let Some(mut whole) = runs::whole(self.connection, run)? else {
            return Ok(Cancelled::NoSuchRun);
        };
        let WholeRow { row, .. } = &mut whole;
        let is_too_late = rows::is_recorded(self.connection, row.slot, &Key::TOO_LATE_TO_CANCEL)?;
        let cancelled = cancelling.decide(&row.header, self.lease(row.held.as_ref()), is_too_late);
        match cancelled {
            Cancelled::Requested => {
                row.header.request_cancel(self.now);
                self.write(WAKE, row)?;
            }
            Cancelled::WithoutUndo => {
                row.header.end(Ending::new(Status::Cancelled), false, self.now);
                row.held = None;
                self.leases.given_back(row.slot);
                self.write_whole(STATUS, &mut whole)?;
                self.report(&whole.row)?;
            }
            _ => {}
        }
        Ok(cancelled)
    }

    pub(super) fn delete(&mut self, runs: &[RunId], condition: DeleteIf) -> Result<Vec<RunId>, Failure> {
        // Reads all runs first, so that an unreadable one does not leave half of the others deleted.
        let mut found: Vec<RunRow> = Vec::new();
        for run in runs {
            if let Some(row) = runs::row(self.connection, run)?
                && condition.holds(row.header.status, row.header.changed, self.lease(row.held.as_ref()))
                && !found.iter().any(|known| known.slot == row.slot)
            {
                found.push(row);
            }
        }
        self.keep_slots(found.iter().map(|row| row.slot).max())?;
        let mut deleted = Vec::new();
        for mut row in found {
            self.drop_journal(row.slot)?;
            self.drop_mail(row.slot)?;
            self.drop_published(row.slot)?;
            self.drop_tags(&row)?;
            self.execute("DELETE FROM awaitly_runs WHERE id = ?", [row.slot])?;
            self.leases.given_back(row.slot);
            row.leave();
            self.follow(&mut row)?;
            deleted.push(row.run);
        }
        Ok(deleted)
    }

    /// Notes the highest slot of a deleted run, so that no other run ever gets it.
    fn keep_slots(&self, highest: Option<i64>) -> Result<(), Failure> {
        let Some(highest) = highest else { return Ok(()) };
        let mut statement = self.connection.prepare_cached("SELECT run, checksum FROM awaitly_next")?;
        let mut rows = statement.query([])?;
        let row = rows.next()?.ok_or_else(|| undecodable("run"))?;
        checksum::verify_next(row)?;
        let next = row.get::<_, i64>(0)?.max(highest + 1);
        let values = [ValueRef::Integer(next)];
        self.execute("UPDATE awaitly_next SET run = ?, checksum = ?", with_checksum(&values)).map(drop)
    }

    pub(super) fn import(&mut self, run: &RunId, stored: &StoredRun) -> Result<bool, Failure> {
        let StoredRun { header, input, records, waits } = stored;
        limits::imported(run, stored)?;
        // The token is that of a lease that was given back, because the run may have records.
        let row = RunRow::new(self.next_slot()?, run.clone(), header.clone(), 1);
        let mut whole = WholeRow { row, input: input.clone() };
        if !self.add(&mut whole)? {
            return Ok(false);
        }
        // The records get numbers as if a first owner had written them.
        for (number, record) in (1..).zip(records) {
            self.put_record(whole.row.slot, number, record)?;
        }
        for entry in waits {
            self.put_wait(whole.row.slot, entry)?;
        }
        Ok(true)
    }
}

//! Ended children, for which other runs wait.

use awaitly_core::dispatch::ChildQuestion;
use awaitly_core::journal::{Record, Settling, Status};
use awaitly_core::store::RunId;

use super::super::apply::Batch;
use super::super::error::Failure;
use super::super::rows;
use super::super::runs::{self, RunRow, WAKE};

impl Batch<'_> {
    /// Answers the parent of a run that has ended. Call this after each change that may end a run.
    ///
    /// The parent and the child are in one file, so the end of the child and the answer are one commit.
    pub(in super::super) fn report(&mut self, child: &RunRow) -> Result<(), Failure> {
        let Some((parent, outcome)) = child.header.report() else { return Ok(()) };
        let record = Record { key: parent.key, outcome, input: None };
        let reported = match runs::row(self.connection, &parent.run) {
            Ok(None) => return Ok(()),
            Ok(Some(row)) => self.tell(row, &child.run, &record),
            Err(failure) => Err(failure),
        };
        match reported {
            // If the parent cannot be read, the child ends nevertheless.
            Err(Failure::Refused(error)) => {
                tracing::error!(run = %parent.run, %error, "a parent cannot be read: it does not learn that its child ended");
                Ok(())
            }
            reported => reported,
        }
    }

    fn tell(&mut self, mut parent: RunRow, child: &RunId, record: &Record) -> Result<(), Failure> {
        let entry = rows::wait_under(self.connection, parent.slot, &record.key)?;
        if !entry.is_some_and(|entry| ChildQuestion::asks_for(&entry.request, child)) {
            return Ok(());
        }
        match self.settle(&parent, &record.key, Settling::Answer, None)? {
            Ok(()) => self.put_answer_and_wake(&mut parent, record),
            // The parent does not wait for this child.
            Err(_) => Ok(()),
        }
    }

    /// Replaces the waiting entry with its outcome. A waiting run is due then.
    pub(in super::super) fn put_answer_and_wake(
        &mut self,
        row: &mut RunRow,
        record: &Record,
    ) -> Result<(), Failure> {
        self.put_answer(row, record)?;
        if row.header.status == Status::Waiting {
            row.header.wake = Some(self.now);
            self.write(WAKE, row)?;
        }
        Ok(())
    }
}

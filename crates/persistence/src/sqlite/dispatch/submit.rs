//! Submitted runs, and the changes of queued runs.

use awaitly_core::dispatch::Place;
use awaitly_core::journal::{Header, Refused};
use awaitly_core::store::{Pausing, Reschedule, RunId, Submit, Submitted};

use super::super::apply::Batch;
use super::super::error::{Failure, undecodable};
use super::super::runs::{self, PAUSED, PLACE, RunRow, WholeRow};
use super::place::Ranks;

impl Batch<'_> {
    pub(in super::super) fn submit(
        &mut self,
        batch: &[Submit],
    ) -> Result<Vec<Result<Submitted, Refused>>, Failure> {
        let mut ranks = Ranks::default();
        let mut results = Vec::with_capacity(batch.len());
        for submit in batch {
            results.push(self.submit_one(submit, &mut ranks)?);
        }
        self.store_ranks(&ranks)?;
        Ok(results)
    }

    fn submit_one(
        &mut self,
        submit: &Submit,
        ranks: &mut Ranks,
    ) -> Result<Result<Submitted, Refused>, Failure> {
        if submit.unique.is_some() {
            // The run id counts before the deduplication key.
            if let Some(found) = runs::whole(self.connection, &submit.run)? {
                return Ok(submit.matches(&found.row.header));
            }
            if let Some(found) = self.duplicate(submit)? {
                return Ok(Ok(Submitted::Duplicate(found)));
            }
        }
        let (place, ranked) = self.place(ranks, submit.place(self.now))?;
        let header = submit.header(place, self.now);
        let row = RunRow::new(self.next_slot()?, submit.run.clone(), header, 0);
        let input = submit.input.as_ref().map(|input| input.payload.clone());
        if self.add(&mut WholeRow { row, input })? {
            ranks.keep(ranked);
            return Ok(Ok(Submitted::Queued));
        }
        let found = runs::whole(self.connection, &submit.run)?;
        // The statement adds a run unless a run with its id exists.
        let found = found.ok_or_else(|| undecodable("run_id"))?;
        Ok(submit.matches(&found.row.header))
    }

    pub(in super::super) fn pause(
        &mut self,
        runs: &[RunId],
        pausing: Pausing,
    ) -> Result<Vec<RunId>, Failure> {
        let paused = pausing == Pausing::Pause;
        let mut changed = Vec::new();
        for run in runs {
            let found = runs::row(self.connection, run)?;
            let is_other = |row: &RunRow| !row.header.status.has_ended() && row.header.paused != paused;
            if let Some(mut row) = found.filter(is_other) {
                row.header.paused = paused;
                self.write(PAUSED, &mut row)?;
                changed.push(row.run);
            }
        }
        Ok(changed)
    }

    pub(in super::super) fn reschedule(
        &mut self,
        runs: &[RunId],
        change: &Reschedule,
    ) -> Result<Vec<RunId>, Failure> {
        let mut ranks = Ranks::default();
        let mut changed = Vec::new();
        for run in runs {
            let found = runs::row(self.connection, run)?;
            let is_queued = |row: &RunRow| !row.header.has_begun() && self.lease(row.held.as_ref()).is_none();
            if let Some(mut row) = found.filter(is_queued) {
                let left = self.move_to(&mut row.header, change, &mut ranks)?;
                self.write(PLACE, &mut row)?;
                self.make_room(&left)?;
                changed.push(row.run);
            }
        }
        self.store_ranks(&ranks)?;
        Ok(changed)
    }

    /// Gives a queued run its new place and start, and returns the place that it left.
    fn move_to(
        &mut self,
        header: &mut Header,
        change: &Reschedule,
        ranks: &mut Ranks,
    ) -> Result<Place, Failure> {
        let place = change.apply(header, self.now);
        let (place, ranked) = self.place(ranks, place)?;
        ranks.keep(ranked);
        Ok(std::mem::replace(&mut header.place, place))
    }
}

//! Submissions whose deduplication key a queued run has.

use awaitly_core::store::{RunId, Submit, Unique};
use rusqlite::OptionalExtension;

use super::super::apply::Batch;
use super::super::error::Failure;
use super::super::runs::{self, START};
use super::queues::State;

const DUPLICATE: &str =
    "SELECT id FROM awaitly_runs WHERE status = 'queued' AND queue = ? AND unique_key = ? LIMIT 1";

impl Batch<'_> {
    /// Returns the queued run with the deduplication key of a submission, if there is one. Gives it the new input, start and
    /// deadline if the submission replaces them.
    pub(super) fn duplicate(&mut self, submit: &Submit) -> Result<Option<RunId>, Failure> {
        let Some(Unique { key, replaces }) = &submit.unique else { return Ok(None) };
        let mut statement = self.connection.prepare_cached(DUPLICATE)?;
        let slot = statement.query_row((&*submit.queue, &**key), |row| row.get(0)).optional()?;
        drop(statement);
        let Some(slot) = slot else { return Ok(None) };
        let Some(mut whole) = runs::whole_in(self.connection, slot)? else { return Ok(None) };
        let run = whole.row.run.clone();
        let is_free = self.lease(whole.row.held.as_ref()).is_none();
        if *replaces && is_free && whole.row.header.workflow == submit.workflow {
            whole.input = submit.input.as_ref().map(|input| input.payload.clone());
            let state = self.queues.find(self.connection, &submit.queue)?;
            let is_fair = state.is_some_and(State::is_fair);
            submit.replace(&mut whole.row.header, is_fair, self.now);
            self.write_whole(START, &mut whole)?;
            self.make_room(&whole.row.header.place)?;
        }
        Ok(Some(run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::plan;

    #[test]
    fn queued_runs_are_found_by_their_deduplication_keys() {
        let index = "INDEX awaitly_runs_unique (queue=? AND unique_key=?)";
        assert!(plan(DUPLICATE).ends_with(index), "{}", plan(DUPLICATE));
    }
}

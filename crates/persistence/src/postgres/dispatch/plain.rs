//! Submissions of runs without options, which are the most frequent ones. Their statement has few parameters, so the server
//! adds such a run in less time.

use awaitly_core::store::{Start, Submit};
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use super::submit::Run;
use crate::postgres::error::is_duplicate;
use crate::postgres::statements::Statements;
use crate::postgres::text;

/// Runs of one workflow and queue that start now, without options.
pub(super) struct Plain<'r> {
    runs: &'r [Run<'r>],
    workflow: &'r str,
    queue: &'r str,
}

impl<'r> Plain<'r> {
    /// Returns `None` if the runs are not plain.
    pub(super) fn of(runs: &'r [Run<'r>]) -> Option<Self> {
        let (first, _) = runs.first()?;
        let is_alike = |run: &Submit| run.workflow == first.workflow && run.queue == first.queue;
        let is_plain = runs.iter().all(|(run, _)| is_alike(run) && !has_options(run));
        is_plain.then_some(Self { runs, workflow: &first.workflow, queue: &first.queue })
    }

    /// Adds the runs that do not exist, and returns their number: none if the queue is fair. Returns `None` and adds none if
    /// one of the runs is contained twice, or if another session adds one of them at the same time.
    pub(super) async fn insert(
        self,
        connection: &mut PgConnection,
        statements: &Statements,
        channel: Option<&str>,
    ) -> Result<Option<usize>, Error> {
        if let [(run, nonce)] = self.runs {
            return self.insert_one(connection, statements, channel, run, *nonce).await;
        }
        let inputs = || self.runs.iter().map(|(run, _)| run.input.as_ref());
        let added = statements
            .submitting
            .add_plain
            .query()
            .bind(channel)
            .bind(self.runs.iter().map(|(run, _)| text::stored(&run.run)).collect::<Vec<_>>())
            .bind(inputs().map(|input| Some(text::stored(input?.payload.as_str()))).collect::<Vec<_>>())
            .bind(inputs().map(|input| Some(input?.fingerprint.to_bits().cast_signed())).collect::<Vec<_>>())
            .bind(self.runs.iter().map(|(_, nonce)| *nonce).collect::<Vec<_>>())
            .bind(text::stored(self.workflow))
            .bind(text::stored(self.queue))
            .fetch_one(connection)
            .await;
        match added {
            Ok(row) => Ok(Some(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0))),
            Err(error) if is_duplicate(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn insert_one(
        &self,
        connection: &mut PgConnection,
        statements: &Statements,
        channel: Option<&str>,
        run: &Submit,
        nonce: i64,
    ) -> Result<Option<usize>, Error> {
        let input = run.input.as_ref();
        let added = statements
            .submitting
            .add_one
            .query()
            .bind(channel)
            .bind(text::stored(&run.run))
            .bind(input.map(|input| text::stored(input.payload.as_str())))
            .bind(input.map(|input| input.fingerprint.to_bits().cast_signed()))
            .bind(nonce)
            .bind(text::stored(self.workflow))
            .bind(text::stored(self.queue))
            .execute(connection)
            .await;
        match added {
            Ok(added) => Ok(Some(usize::from(added.rows_affected() > 0))),
            Err(error) if is_duplicate(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn has_options(run: &Submit) -> bool {
    let Submit { key, priority, start, start_by, parent, tags, unique, .. } = run;
    key.is_some()
        || *priority != 0
        || *start != Start::Now
        || start_by.is_some()
        || parent.is_some()
        || !tags.is_empty()
        || unique.is_some()
}

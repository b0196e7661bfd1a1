//! The ranks of runs in fair queues.

use std::collections::{BTreeMap, HashSet};

use awaitly_core::dispatch::{Fairness, Place};
use awaitly_core::journal::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Error, Row};

use super::submit::{self, Run, key_of};
use crate::postgres::rows::moment;
use crate::postgres::schema::{BEGIN, Failure, in_transaction};
use crate::postgres::statements::Statements;

/// Adds runs that do not exist. In a fair queue, a run ranks behind the runs of its key.
pub(super) async fn add(
    connection: &mut PgConnection,
    statements: &Statements,
    channel: Option<&str>,
    runs: &[Run<'_>],
) -> Result<(), Error> {
    let added: Result<(), Failure> = in_transaction!(BEGIN, connection, transaction => {
        Ok(add_within(&mut transaction, statements, channel, runs).await?)
    });
    added.map_err(|failure| match failure {
        Failure::Postgres(error) => error,
        Failure::Refused(_) => Error::RowNotFound,
    })
}

/// Adds runs, as [`add`] does, in the open transaction.
pub(super) async fn add_within(
    connection: &mut PgConnection,
    statements: &Statements,
    channel: Option<&str>,
    runs: &[Run<'_>],
) -> Result<(), Error> {
    let mut ids = HashSet::new();
    let runs: Vec<_> = runs.iter().filter(|(run, _)| ids.insert(&run.run)).copied().collect();
    let places = runs.iter().map(|(run, _)| key_of(&run.queue, run.key.as_deref()));
    let mut keys = Keys::lock(connection, statements, places).await?;
    let now = keys.now;
    let places: Vec<_> = runs.iter().map(|(run, _)| keys.rank(run.place(now))).collect();
    submit::insert(connection, &statements.submitting.add_ranked, channel, &runs, &places).await?;
    keys.keep(connection, statements).await
}

/// The keys of fair queues. Their rows are locked.
pub(super) struct Keys {
    /// By queue and key, in their stored form.
    fairness: BTreeMap<(String, String), Fairness>,
    pub(super) now: Timestamp,
}

impl Keys {
    /// Locks the rows of the given keys, if their queues are fair.
    pub(super) async fn lock(
        connection: &mut PgConnection,
        statements: &Statements,
        keys: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let keys: HashSet<_> = keys.collect();
        let (queues, keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let rows = statements.submitting.lock_keys.query().bind(queues).bind(keys);
        let rows = rows.fetch_all(&mut *connection).await?;
        let fairness = rows.iter().map(|row| {
            let next = row.try_get(2)?;
            Ok(((row.try_get(0)?, row.try_get(1)?), Fairness::new(next, Some(next))))
        });
        let fairness = fairness.collect::<Result<_, Error>>()?;
        let now = statements.now.query().fetch_one(connection).await?;
        Ok(Self { fairness, now: moment(now.try_get(0)?) })
    }

    /// Returns the place with the next rank of its key, if its queue is fair.
    pub(super) fn rank(&mut self, place: Place) -> Place {
        match self.fairness.get_mut(&key_of(&place.queue, place.key.as_deref())) {
            Some(fairness) => fairness.rank(place),
            None => place,
        }
    }

    /// Keeps the next rank of each key.
    pub(super) async fn keep(
        self,
        connection: &mut PgConnection,
        statements: &Statements,
    ) -> Result<(), Error> {
        let (mut queues, mut keys, mut nexts) = (Vec::new(), Vec::new(), Vec::new());
        for ((queue, key), fairness) in self.fairness {
            queues.push(queue);
            keys.push(key);
            nexts.push(fairness.next());
        }
        if queues.is_empty() {
            return Ok(());
        }
        let keep = statements.submitting.set_keys.query().bind(queues).bind(keys).bind(nexts);
        keep.execute(connection).await.map(drop)
    }
}

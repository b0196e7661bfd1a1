//! The process that is frozen: it holds many runs and writes to them continuously.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use awaitly::clock::ms;
use awaitly::journal::{Contents, Key, Settling, Status};
use awaitly::persistence::PostgresStore;
use awaitly::store::{
    Durability, Ending, Lease, OnRecorded, Open, Opened, Owner, Rewrite, RunId, Store, StoreError,
    Transactional,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::entries::{question, record};
use crate::schema::Schema;
use awaitly_trials::lines::Lines;

/// The number of runs of one worker.
pub(super) const RUNS: usize = 25;

const LEASE: Duration = ms(300);

/// The number of kinds of writes that are tried after the freeze.
pub(super) const WRITES: usize = 9;

/// A report of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// The store acknowledged this record.
    Acknowledged { run: String, key: String },
    /// A write after the first failed one, and its result.
    Tried { run: String, write: String, refused: bool, said: String },
}

pub(super) fn run_id(worker: &str, run: usize) -> String {
    format!("{worker}-{run}")
}

pub(crate) async fn work(schema: Schema, lines: &Path, worker: &str) -> Result<()> {
    let store = schema.store().await?;
    let (schema, lines) = (Arc::new(schema), Arc::new(Lines::open(lines)?));
    let mut runs = JoinSet::new();
    for run in 0..RUNS {
        let (store, schema, lines) = (store.clone(), Arc::clone(&schema), Arc::clone(&lines));
        let id = run_id(worker, run);
        // Every third run writes with transactions of the application's.
        let transactional = run % 3 == 0;
        runs.spawn(async move { write(&Writing { store, schema, run: id, transactional }, &lines).await });
    }
    while let Some(ended) = runs.join_next().await {
        ended??;
    }
    Ok(store.close().await?)
}

struct Writing {
    store: PostgresStore,
    schema: Arc<Schema>,
    run: String,
    transactional: bool,
}

/// Adds records until one is refused, and then tries every kind of write.
async fn write(writing: &Writing, lines: &Lines) -> Result<()> {
    let Writing { store, run, transactional, .. } = writing;
    let request = Open::new(RunId::new(run.as_str())?, "frozen", Owner::unique()).ttl(LEASE);
    let Opened::Held { lease, .. } = store.open(request).await? else {
        bail!("{run} cannot be opened");
    };
    for number in 0.. {
        let key = format!("record[{number}]");
        let written = if *transactional {
            writing.commit(&lease, &key).await
        } else {
            store.append(&lease, record(&key)?, Durability::Sync).await
        };
        match written {
            Ok(()) => lines.add(&Line::Acknowledged { run: run.clone(), key })?,
            Err(error) => {
                writing.tried(lines, "the one under way", Err(error))?;
                break;
            }
        }
    }
    for number in 1..WRITES {
        let (write, came_of_it) = writing.try_one(&lease, number).await?;
        writing.tried(lines, write, came_of_it)?;
    }
    Ok(())
}

impl Writing {
    /// The application's own row, and the record, in one commit.
    async fn commit(&self, lease: &Lease, key: &str) -> Result<(), StoreError> {
        let unavailable = |error: sqlx::Error| StoreError::Unavailable { detail: error.to_string().into() };
        let unstorable = |error: anyhow::Error| StoreError::Unstorable { detail: error.to_string().into() };
        let mut transaction = self.store.begin().await?;
        let insert = sqlx::query(self.schema.sql("INSERT INTO {s}.debits VALUES ($1, 0)"));
        insert.bind(format!("{}/{key}", self.run)).execute(&mut *transaction).await.map_err(unavailable)?;
        self.store.commit(transaction, lease, record(key).map_err(unstorable)?, OnRecorded::Refuse).await
    }

    async fn try_one(&self, lease: &Lease, number: usize) -> Result<(&'static str, Result<(), StoreError>)> {
        let store = &self.store;
        let late = || record("late");
        Ok(match number {
            1 => ("append", store.append(lease, late()?, Durability::Sync).await),
            2 => ("replace", store.replace(lease, record("record[0]")?, Durability::Sync).await),
            3 => ("wait", store.wait(lease, question("late")).await),
            4 => ("settle", store.settle(lease, late()?, Settling::Expire).await.map(drop)),
            5 => ("revive", store.revive(lease, vec![Key::from("record[0]")]).await),
            6 => ("rewrite", store.rewrite(lease, Rewrite::new(2, Contents::default(), [])).await),
            7 => ("transactional commit", self.commit(lease, "late").await),
            // A renewal that got through would let the end through too, and be seen there as well.
            _ => match store.renew(lease, LEASE).await {
                Err(StoreError::LeaseLost { .. }) => {
                    ("renew and finish", store.finish(lease, Ending::new(Status::Cancelled)).await)
                }
                came_of_it => ("renew", came_of_it.map(drop)),
            },
        })
    }

    fn tried(&self, lines: &Lines, write: &str, came_of_it: Result<(), StoreError>) -> Result<()> {
        let refused = matches!(came_of_it, Err(StoreError::LeaseLost { .. }));
        let said = came_of_it.map_or_else(|error| error.to_string(), |()| "it was done".to_owned());
        Ok(lines.add(&Line::Tried { run: self.run.clone(), write: write.to_owned(), refused, said })?)
    }
}

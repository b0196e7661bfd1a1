//! Kills workers of the engine. Four workers execute orders with children, mail and a limited queue, and the runs of a
//! schedule.
//!
//! The supervisor is the client: it starts the orders and sends their messages while workers die. At the end, it waits
//! for all orders, stops the workers with SIGTERM, and compares the store with the ledger.

mod body;
mod judge;
mod supervisor;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use awaitly::persistence::{PostgresOptions, RedisOptions, SqliteStore};
use awaitly::store::Dispatch;
use awaitly_trials::servers::url;

use crate::store::{Kind, Place};

/// The number of workers at a time.
pub(super) const WORKERS: usize = 4;

/// A function that works with any store.
trait With {
    type Output;

    async fn with<S: Dispatch + Clone>(self, store: S) -> Result<Self::Output>;
}

/// Opens the store of the test, and calls `task` with it.
async fn open<T: With>(place: &Place<'_>, task: T) -> Result<T::Output> {
    match place.kind {
        Kind::Sqlite => {
            let store = SqliteStore::open(place.folder.join("crash.db")).await?;
            let output = task.with(store.clone()).await?;
            store.close().await?;
            Ok(output)
        }
        Kind::Postgres => {
            let store = PostgresOptions::new().schema(place.name()).connect(&url("POSTGRES")?).await?;
            let output = task.with(store.clone()).await?;
            store.close().await?;
            Ok(output)
        }
        Kind::Redis => {
            let store = RedisOptions::new().prefix(place.name()).connect(&url("REDIS")?).await?;
            let output = task.with(store.clone()).await?;
            store.close().await?;
            Ok(output)
        }
    }
}

/// Executes runs as one of the workers, until SIGTERM.
#[tokio::main(worker_threads = 2)]
pub(crate) async fn work(place: &Place<'_>, life: u32) -> Result<ExitCode> {
    open(place, body::Work { folder: place.folder, life }).await?;
    Ok(ExitCode::SUCCESS)
}

/// Kills workers, and then compares the store with the ledger. Returns whether all promises hold.
#[tokio::main(worker_threads = 2)]
pub(crate) async fn supervise(place: &Place<'_>, kills: u32, seed: u64) -> Result<bool> {
    let holds = open(place, supervisor::Supervise { place, kills, seed }).await?;
    if holds {
        place.clear().await?;
    }
    Ok(holds)
}

/// Returns the file with the effects.
fn effects(folder: &Path) -> std::path::PathBuf {
    folder.join("effects.jsonl")
}

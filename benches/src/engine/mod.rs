//! Whole runs through the engine: a client starts them, and a worker of the same process claims, executes and finishes
//! them, on every store.

mod loads;
mod postgres;
mod queues;
mod stores;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use awaitly::engine::{Client, Contract, Worker};
use awaitly::persistence::MemoryStore;
use awaitly::store::Dispatch;
use awaitly::{DurableRun, RunError, step};
use tokio::sync::Notify;

use crate::measure::runtime;
use crate::row::Row;

pub(crate) use queues::compare;

const JOB: Contract<u64, u64, RunError> = Contract::new("job");

/// The number of runs per call of `start_many`.
const BATCH: u64 = 1000;

pub(crate) fn measure() -> Result<Vec<Row>> {
    runtime()?.block_on(async {
        let rate = runs_per_second(MemoryStore::new(), 0..200_000, Steps::None).await?;
        let mut rows = vec![Row::plain("empty runs/s, memory", rate, "runs/s")];
        rows.extend(stores::measure().await?);
        rows.extend(postgres::measure().await?);
        rows.extend(loads::measure().await?);
        Ok(rows)
    })
}

/// The steps of each run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steps {
    None,
    One,
}

async fn call(n: u64) -> Result<u64, RunError> {
    Ok(n)
}

/// Starts the runs with these numbers while a worker executes as many, and returns the number of executed runs per second,
/// from the first start to the last recorded end. If the store contains earlier runs, the worker executes those first.
pub(crate) async fn runs_per_second<S: Dispatch + Clone>(
    store: S,
    runs: Range<u64>,
    steps: Steps,
) -> Result<f64> {
    let (begun, done) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let (count, all) = (Arc::clone(&begun), Arc::clone(&done));
    let wanted = runs.end - runs.start;
    let body = move |run: DurableRun, n: u64| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == wanted {
            all.notify_one();
        }
        async move {
            if steps == Steps::One {
                return Ok(step!(run, call(n)));
            }
            Ok(n)
        }
    };
    let worker = Worker::new(store.clone()).serve(JOB, body).concurrency(2048);
    let client = Client::new(store);
    let began = Instant::now();
    let starting = tokio::spawn(async move { start(&client, runs).await });
    // The worker waits for the last ends before it returns.
    worker.run_until(async { done.notified().await }).await?;
    let took = began.elapsed();
    starting.await??;
    Ok(begun.load(Ordering::Relaxed) as f64 / took.as_secs_f64())
}

/// Starts the runs with these numbers, in calls of many.
async fn start<S: Dispatch + Clone>(client: &Client<S>, runs: Range<u64>) -> Result<()> {
    for first in runs.clone().step_by(BATCH as usize) {
        let batch = (first..(first + BATCH).min(runs.end)).map(|n| (format!("job-{n}"), n));
        for started in client.start_many(JOB, batch).await? {
            started?;
        }
    }
    Ok(())
}

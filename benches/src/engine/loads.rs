//! Special loads on PostgreSQL: a large backlog, many runs that are due at once, a quiet store, and a queue in which almost
//! all runs have one key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use awaitly::DurableRun;
use awaitly::clock::secs;
use awaitly::engine::{Client, Queue, Worker};
use awaitly::persistence::PostgresStore;
use awaitly::store::around::{Call, Request};
use awaitly::store::{Around, Operate, StoreError};
use tokio::sync::mpsc;

use super::{BATCH, JOB, Steps, runs_per_second, start};
use crate::measure::median;
use crate::postgres::{Schema, url};
use crate::row::Row;

pub(super) async fn measure() -> Result<Vec<Row>> {
    let url = url()?;
    let mut rows = vec![backlog(&url).await?];
    rows.extend(due_at_once(&url).await?);
    rows.extend(fairness(&url).await?);
    Ok(rows)
}

/// Compares the rates of a worker with a large and a small backlog. Both stay as large as they are, because a client starts
/// as many runs as the worker executes.
async fn backlog(url: &str) -> Result<Row> {
    const LARGE: u64 = 1_000_000;
    const SMALL: u64 = 10_000;
    const RUNS: u64 = 40_000;
    const TURNS: u64 = 5;
    let mut schemas = Vec::new();
    for size in [LARGE, SMALL] {
        let schema = Schema::make(url).await?;
        let store = schema.store().await?;
        start(&Client::new(store.clone()), 0..size).await?;
        schemas.push((size, schema, store, Vec::new()));
    }
    for turn in 0..TURNS {
        for (size, _, store, rates) in &mut schemas {
            let first = *size + turn * RUNS;
            rates.push(runs_per_second(store.clone(), first..first + RUNS, Steps::None).await?);
        }
    }
    let mut medians = Vec::new();
    for (_, schema, store, rates) in schemas {
        medians.push(median(rates));
        store.close().await?;
        schema.drop().await?;
    }
    let [large, small] = medians[..] else { unreachable!("two backlogs") };
    let row = Row::plain("runs/s, backlog of 1M above one of 10k", large, "runs/s");
    Ok(row.floor(small).at_least_of_floor(0.9))
}

/// A store that counts claims.
#[derive(Clone)]
struct Counted {
    store: PostgresStore,
    claims: Arc<AtomicU64>,
}

impl Around for Counted {
    type Inner = PostgresStore;

    fn inner(&self) -> &PostgresStore {
        &self.store
    }

    async fn around<R: Request<PostgresStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if R::CALL == Call::Claim {
            self.claims.fetch_add(1, Ordering::Relaxed);
        }
        request.send(&self.store).await
    }
}

/// Starts runs that are all due at one instant, and measures the time until the last one has begun. Before the instant, the
/// store is quiet.
async fn due_at_once(url: &str) -> Result<Vec<Row>> {
    const RUNS: u64 = 60_000;
    const QUIET: Duration = secs(10);
    let schema = Schema::make(url).await?;
    let claims = Arc::new(AtomicU64::new(0));
    let store = Counted { store: schema.store().await?, claims: Arc::clone(&claims) };
    let (begun, mut bodies) = mpsc::unbounded_channel();
    let body = move |_: DurableRun, n: u64| {
        let _ = begun.send(());
        async move { Ok(n) }
    };
    let worker = Worker::new(store.clone()).serve(JOB, body).concurrency(2048);
    let client = Client::new(store.clone());
    let measuring = async {
        let moment = store.now().await?.after(QUIET + secs(8));
        for first in (0..RUNS).step_by(BATCH as usize) {
            let batch = (first..first + BATCH).map(|n| (format!("job-{n}"), n));
            client.start_many(JOB, batch).at(moment).await?;
        }
        // The worker still reacts to the last starts.
        tokio::time::sleep(secs(1)).await;
        let before = claims.load(Ordering::Relaxed);
        tokio::time::sleep(QUIET - secs(5)).await;
        let polls = (claims.load(Ordering::Relaxed) - before) as f64 / (QUIET - secs(5)).as_secs_f64();
        tokio::time::sleep(store.now().await?.until(moment)).await;
        let due = Instant::now();
        for _ in 0..RUNS {
            bodies.recv().await.context("the worker has stopped")?;
        }
        anyhow::Ok((due.elapsed().as_secs_f64(), polls))
    };
    let mut measured = Err(anyhow::anyhow!("the worker has stopped"));
    worker.run_until(async { measured = measuring.await }).await?;
    let (took, polls) = measured?;
    store.store.close().await?;
    schema.drop().await?;
    Ok(vec![
        Row::plain("60000 runs due at once: all begun", took, "s").at_most(3.0),
        Row::plain("claims of a worker on a quiet store", polls, "/s").at_most(1.0),
    ])
}

/// Measures how long a run of a small key waits in a fair queue: alone, and beside the many runs of another key.
async fn fairness(url: &str) -> Result<Vec<Row>> {
    const MANY: u64 = 1_000_000;
    let schema = Schema::make(url).await?;
    let store = schema.store().await?;
    let client = Client::new(store.clone());
    client.set_queue(queue()).await?;
    let idle = waits(&store, "idle").await?;
    for first in (0..MANY).step_by(BATCH as usize) {
        let batch = (first..first + BATCH).map(|n| (format!("many-{n}"), u64::MAX));
        client.start_many(JOB, batch).queue(QUEUE).key("many").await?;
    }
    let beside = waits(&store, "beside").await?;
    store.close().await?;
    schema.drop().await?;
    let row = Row::plain("wait in a fair queue beside 1M of a key, p99", beside, "ms");
    let ratio = beside / idle;
    let holds = ratio <= 2.0;
    Ok(vec![Row { bar: Some("<= 2 x".to_owned()), holds, ..row.floor(idle) }])
}

const QUEUE: &str = "fair";

fn queue() -> Queue {
    Queue::new(QUEUE).fair()
}

/// Starts ten runs of a small key at a time, and returns the 99th percentile of the times from the call of `start` to the
/// body, in milliseconds.
async fn waits(store: &PostgresStore, name: &str) -> Result<f64> {
    const TIMES: u64 = 40;
    const RUNS: u64 = 10;
    let (begun, mut bodies) = mpsc::unbounded_channel();
    let body = move |_: DurableRun, n: u64| {
        if n != u64::MAX {
            let _ = begun.send((n, Instant::now()));
        }
        async move { Ok(n) }
    };
    let worker = Worker::new(store.clone()).serve(JOB, body).concurrency(64);
    let client = Client::new(store.clone());
    let measuring = async {
        let mut waits = Vec::new();
        for time in 0..TIMES {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let began = Instant::now();
            let runs = (0..RUNS).map(|n| (format!("{name}-{time}-{n}"), n));
            client.start_many(JOB, runs).queue(QUEUE).key("few").await?;
            for _ in 0..RUNS {
                let (_, at) = bodies.recv().await.context("the worker has stopped")?;
                waits.push(at.duration_since(began).as_secs_f64() * 1000.0);
            }
        }
        waits.sort_by(f64::total_cmp);
        anyhow::Ok(waits.get(waits.len() * 99 / 100).copied().unwrap_or(f64::NAN))
    };
    let mut measured = Err(anyhow::anyhow!("the worker has stopped"));
    worker.run_until(async { measured = measuring.await }).await?;
    measured
}

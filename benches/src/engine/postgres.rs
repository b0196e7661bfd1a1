//! The engine on PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use awaitly::DurableRun;
use awaitly::engine::{Client, Worker};
use awaitly::persistence::PostgresStore;
use tokio::sync::mpsc;

use super::{JOB, Steps, runs_per_second, start};
use crate::measure::median;
use crate::postgres::{Floor, Schema, url};
use crate::row::Row;

const TURNS: usize = 3;

/// The number of single starts of a turn.
const STARTS: u64 = 3000;
const SLICE: u64 = 50;

/// The number of starts whose latency is measured.
const IDLE_STARTS: u64 = 500;

pub(super) async fn measure() -> Result<Vec<Row>> {
    let url = url()?;
    let empty = median_rate(&url, 200_000, Steps::None).await?;
    let one = median_rate(&url, 100_000, Steps::One).await?;
    let mut rows = vec![
        Row::plain("empty runs/s, PostgreSQL", empty, "runs/s").at_least(40_000.0),
        Row::plain("runs/s of one step, PostgreSQL", one, "runs/s").at_least(20_000.0),
    ];
    rows.push(start_many(&url).await?);
    rows.push(single_starts(&url).await?);
    rows.extend(latency(&url).await?);
    Ok(rows)
}

/// Returns the median of the runs per second in several turns.
pub(super) async fn median_rate(url: &str, runs: u64, steps: Steps) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let schema = Schema::make(url).await?;
        let store = schema.store().await?;
        rates.push(runs_per_second(store.clone(), 0..runs, steps).await?);
        store.close().await?;
        schema.drop().await?;
    }
    Ok(median(rates))
}

/// Starts runs in calls of many, without a worker.
async fn start_many(url: &str) -> Result<Row> {
    const RUNS: u64 = 100_000;
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let schema = Schema::make(url).await?;
        let store = schema.store().await?;
        let client = Client::new(store.clone());
        let began = Instant::now();
        start(&client, 0..RUNS).await?;
        rates.push(RUNS as f64 / began.elapsed().as_secs_f64());
        store.close().await?;
        schema.drop().await?;
    }
    Ok(Row::plain("start_many, 1000 per call, PostgreSQL", median(rates), "runs/s").at_least(100_000.0))
}

/// Starts runs one after the other, beside bare inserts of a row in a commit of its own.
async fn single_starts(url: &str) -> Result<Row> {
    let (mut ours, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let schema = Schema::make(url).await?;
        let store = schema.store().await?;
        let (client, floor) = (Client::new(store.clone()), Floor::connect(&schema).await?);
        // A task, so that the caller runs on the thread of the store, as a request handler does.
        let (starting, inserting) = tokio::spawn(slices(client, floor)).await??;
        ours.push(STARTS as f64 / starting.as_secs_f64());
        floors.push(STARTS as f64 / inserting.as_secs_f64());
        ratios.push(inserting.as_secs_f64() / starting.as_secs_f64());
        store.close().await?;
        schema.drop().await?;
    }
    let row = Row::plain("single starts/s in sequence, PostgreSQL", median(ours), "runs/s");
    let row = Row { ratio: Some(median(ratios)), ..row.floor(median(floors)) };
    Ok(row.at_least_of_floor(0.8))
}

/// Lets starts and inserts take turns, so that both meet the same minutes of the machine. Returns the time of all starts
/// and of all inserts.
async fn slices(client: Client<PostgresStore>, mut floor: Floor) -> Result<(Duration, Duration)> {
    let (mut starting, mut inserting) = (Duration::ZERO, Duration::ZERO);
    for first in (0..STARTS).step_by(SLICE as usize) {
        let began = Instant::now();
        for n in first..first + SLICE {
            client.start(JOB, format!("job-{n}"), &n).await?;
        }
        starting += began.elapsed();
        let began = Instant::now();
        for n in first..first + SLICE {
            floor.insert(-1, n).await?;
        }
        inserting += began.elapsed();
    }
    floor.close().await?;
    Ok((starting, inserting))
}

/// Measures the time from the call of `start` to the first line of the body, while the worker is idle.
async fn latency(url: &str) -> Result<Vec<Row>> {
    let schema = Schema::make(url).await?;
    let (clients, workers) = (schema.store().await?, schema.store().await?);
    let mut times = latencies(clients.clone(), workers.clone()).await?;
    clients.close().await?;
    workers.close().await?;
    schema.drop().await?;
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    Ok(vec![
        Row::plain("start to body, idle worker, p50, PostgreSQL", at(0.5), "ms").at_most(2.0),
        Row::plain("start to body, idle worker, p99, PostgreSQL", at(0.99), "ms").at_most(10.0),
    ])
}

/// Starts a run every few milliseconds, and returns the delays of the bodies in milliseconds.
async fn latencies(clients: PostgresStore, workers: PostgresStore) -> Result<Vec<f64>> {
    let (begun, mut bodies) = mpsc::unbounded_channel();
    let begun = Arc::new(begun);
    let body = move |_: DurableRun, n: u64| {
        let _ = begun.send(Instant::now());
        async move { Ok(n) }
    };
    let worker = Worker::new(workers).serve(JOB, body);
    let client = Client::new(clients);
    let mut times = Vec::new();
    let starting = async {
        for n in 0..IDLE_STARTS {
            tokio::time::sleep(Duration::from_millis(5 + fastrand::u64(0..10))).await;
            let began = Instant::now();
            client.start(JOB, format!("job-{n}"), &n).await?;
            if let Some(body) = bodies.recv().await {
                times.push(body.duration_since(began).as_secs_f64() * 1000.0);
            }
        }
        anyhow::Ok(())
    };
    let mut started = Ok(());
    worker.run_until(async { started = starting.await }).await?;
    started.map(|()| times)
}

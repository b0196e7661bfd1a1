//! Durable steps on PostgreSQL, beside a bare prepared insert on the same kind of connection.
//!
//! The floor writes the same columns into the same table, one row and one commit for each step, on a connection
//! per run; it has no leases, no typed values, no resume.

mod floor;
mod schema;
mod sequential;

use std::time::{Duration, Instant};

use anyhow::Result;
use awaitly::persistence::{PostgresStore, SqliteStore};
use awaitly::store::Store;
use awaitly::{DurableRun, RunError, Workflow, step};

use crate::durable::Ours;
use crate::measure::{median, runtime};
use crate::row::Row;
pub(crate) use floor::Floor;
pub(crate) use schema::{Schema, url};

const TURNS: usize = 7;

/// Runs at a time, and steps each.
const LOADS: [(u64, u64); 2] = [(16, 400), (256, 150)];

pub(crate) fn measure() -> Result<Vec<Row>> {
    let url = url()?;
    runtime()?.block_on(async {
        let mut rows = vec![sequential::measure(&url).await?];
        rows.extend(concurrent(&url).await?);
        rows.extend(one_step(&url).await?);
        rows.extend(resume(&url).await?);
        Ok(rows)
    })
}

async fn concurrent(url: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (runs, steps) in LOADS {
        let (mut floors, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for turn in 0..TURNS {
            // The first of the two meets new tables, so they take turns at that as well.
            let (our, floor) = if turn % 2 == 0 {
                let our = steps_per_second(runs, steps).await?;
                (our, floor_steps_per_second(url, runs, steps).await?)
            } else {
                let floor = floor_steps_per_second(url, runs, steps).await?;
                (steps_per_second(runs, steps).await?, floor)
            };
            floors.push(floor);
            ours.push(our);
            ratios.push(our / floor);
        }
        let name = format!("durable steps/s, PostgreSQL, {runs} runs");
        let row = Row {
            ratio: Some(median(ratios)),
            ..Row::plain(name, median(ours), "steps/s").floor(median(floors))
        };
        rows.push(if runs == 256 { row.at_least(60_000.0) } else { row });
    }
    Ok(rows)
}

/// The floor, on a schema of its own. More connections than 32 a server does not take beside others, so the
/// floor's runs share them.
async fn floor_steps_per_second(url: &str, runs: u64, steps: u64) -> Result<f64> {
    let schema = Schema::make(url).await?;
    let rate = floor::steps_per_second(&schema, runs.min(32), (runs * steps) / runs.min(32)).await?;
    schema.drop().await?;
    Ok(rate)
}

/// This library, on a schema of its own.
pub(crate) async fn steps_per_second(runs: u64, steps: u64) -> Result<f64> {
    let schema = Schema::make(&url()?).await?;
    let store = schema.store().await?;
    let rate = Ours::steps_per_second_on(store.clone(), runs, steps).await?;
    store.close().await?;
    schema.drop().await?;
    Ok(rate)
}

async fn call(n: u64) -> Result<u64, RunError> {
    Ok(n)
}

async fn one(run: &DurableRun) -> Result<u64, RunError> {
    let n = step!(run, call(7));
    Ok(n)
}

/// From the start of a workflow with one step to its kept result.
async fn one_step(url: &str) -> Result<Vec<Row>> {
    let schema = Schema::make(url).await?;
    let store = schema.store().await?;
    let postgres = percentiles("one-step workflow, PostgreSQL", store.clone(), 0.6).await?;
    store.close().await?;
    schema.drop().await?;
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("one.db")).await?;
    let sqlite = percentiles("one-step workflow, SQLite", store.clone(), 0.35).await?;
    store.close().await?;
    Ok([postgres, sqlite].concat())
}

async fn percentiles(name: &str, store: impl Store, bar_ms: f64) -> Result<Vec<Row>> {
    let workflow = Workflow::new("bench").store(store);
    let mut times = Vec::new();
    for number in 0..1000 {
        let began = Instant::now();
        workflow.run(format!("one {number}"), async |run| one(run).await).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    Ok(vec![
        Row::plain(format!("{name}, p50"), at(0.5), "ms").at_most(bar_ms),
        Row::plain(format!("{name}, p99"), at(0.99), "ms"),
    ])
}

/// From the call of `run` to the first new step, of a run with 10 000 recorded ones.
async fn resume(url: &str) -> Result<Vec<Row>> {
    const RECORDED: u64 = 10_000;
    let schema = Schema::make(url).await?;
    schema.fill(RECORDED).await?;
    let mut times = Vec::new();
    for _ in 0..TURNS {
        let store: PostgresStore = schema.store().await?;
        let workflow = Workflow::new("bench").store(store.clone());
        let (sent, first_new) = std::sync::mpsc::channel();
        let began = Instant::now();
        let run = workflow.run("run", async |run| {
            let mut sum = 0_u64;
            for n in 0..RECORDED {
                sum = sum.wrapping_add(step!(run, call(n)));
            }
            step!(run.volatile(), "first new", async {
                let _ = sent.send(Instant::now());
                Ok::<_, RunError>(())
            });
            // The run stays interrupted, so that it can be resumed again.
            std::future::pending::<()>().await;
            Ok::<u64, RunError>(sum)
        });
        // It never ends by itself.
        drop(tokio::time::timeout(Duration::from_millis(1500), run).await);
        times.push(first_new.recv()?.duration_since(began).as_secs_f64() * 1e3);
        drop(workflow);
        store.close().await?;
    }
    schema.drop().await?;
    Ok(vec![Row::plain("resume of 10000 recorded steps, PostgreSQL", median(times), "ms").at_most(60.0)])
}

//! Four processes share the limits of a queue. The ledger shows how many bodies ran at each moment.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use awaitly::clock::{ms, secs};
use awaitly::engine::{Client, Queue, Rate};
use awaitly::persistence::PostgresStore;
use awaitly_trials::lines::read;

use super::{JOB, Line, start};
use crate::process::signal;
use crate::schema::Schema;

const WORKERS: usize = 4;
const KEYS: u64 = 20;

/// The number of runs per call of `start_many`. Each call has one key.
const BATCH: u64 = 100;

/// The longest time in which the workers must execute all runs of a case.
const PATIENCE: Duration = secs(120);

/// A body begins shortly after the claim that the rate counts. A window of the ledger is shorter by this time than the
/// period of the rate.
const LATE: Duration = ms(100);

/// The least used part of an allowance.
const USED: f64 = 0.9;

/// A limit, and the runs that use it.
struct Case {
    name: &'static str,
    queue: fn(Queue) -> Queue,
    runs: u64,
    /// The duration of each body.
    millis: u64,
    limit: Limit,
}

enum Limit {
    Concurrency(u64),
    PerKey(u64),
    PerSecond(u64),
}

const CASES: [Case; 3] = [
    Case {
        name: "concurrency",
        queue: |queue| queue.concurrency(100),
        runs: 40_000,
        millis: 100,
        limit: Limit::Concurrency(100),
    },
    Case {
        name: "per-key",
        queue: |queue| queue.per_key(5),
        runs: 30_000,
        millis: 100,
        limit: Limit::PerKey(5),
    },
    Case {
        name: "rate",
        queue: |queue| queue.rate(Rate::per_second(1500)),
        runs: 30_000,
        millis: 1,
        limit: Limit::PerSecond(1500),
    },
];

pub(crate) async fn execute(url: &str) -> Result<bool> {
    let mut holds = true;
    for case in &CASES {
        holds &= Schema::lend(url, async |schema| measure(schema, case).await).await?;
    }
    Ok(holds)
}

async fn measure(schema: &Schema, case: &Case) -> Result<bool> {
    let store = schema.store().await?;
    let client = Client::new(store.clone());
    client.set_queue((case.queue)(Queue::new(case.name))).await?;
    start_all(&client, case).await?;
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.jsonl");
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(start(schema, &ledger)?);
    }
    let begun = Instant::now();
    while ended(&ledger)? < case.runs {
        ensure!(begun.elapsed() < PATIENCE, "{} of {} runs ended in time", ended(&ledger)?, case.runs);
        tokio::time::sleep(ms(200)).await;
    }
    for mut worker in workers {
        signal(&worker, "TERM").await?;
        ensure!(worker.wait().await?.success(), "a worker failed");
    }
    let (allowed, most, used, executed) = judge(case, &read(&ledger)?);
    store.close().await?;
    println!(
        "{} {allowed} · most {most} · used {used:.3} of the allowance · runs {executed} · executed twice {}",
        case.name,
        executed.saturating_sub(case.runs)
    );
    Ok(most <= allowed && used >= USED && executed == case.runs)
}

async fn start_all(client: &Client<PostgresStore>, case: &Case) -> Result<()> {
    for first in (0..case.runs).step_by(BATCH as usize) {
        let runs = (first..first + BATCH).map(|run| (run.to_string(), case.millis));
        let key = format!("key-{}", first / BATCH % KEYS);
        for started in client.start_many(JOB, runs).queue(case.name).key(key).await? {
            started?;
        }
    }
    Ok(())
}

fn ended(ledger: &Path) -> Result<u64> {
    Ok(read::<Line>(ledger)?.iter().filter(|line| matches!(line, Line::Ended { .. })).count() as u64)
}

/// Returns the allowed number, the largest number that the ledger shows, the used part of the allowance, and the number of
/// executions.
fn judge(case: &Case, lines: &[Line]) -> (u64, u64, f64, u64) {
    let mut events: Vec<(u64, i64, &str)> = Vec::new();
    for line in lines {
        events.push(match line {
            Line::Begun { run, at } => (*at, 1, run.as_str()),
            Line::Ended { run, at } => (*at, -1, run.as_str()),
        });
    }
    // At equal times, an end comes first.
    events.sort_unstable();
    let begins: Vec<u64> = events.iter().filter(|event| event.1 == 1).map(|event| event.0).collect();
    let executed = begins.len() as u64;
    match case.limit {
        Limit::Concurrency(allowed) => (allowed, most(&events, |_| 0), used(&events, allowed), executed),
        Limit::PerKey(allowed) => {
            let key = |run: &str| run.parse::<u64>().unwrap_or_default() / BATCH % KEYS;
            (allowed, most(&events, key), used(&events, allowed * KEYS), executed)
        }
        Limit::PerSecond(allowed) => {
            let width = (secs(1) - LATE).as_micros() as u64;
            let (mut window, mut most) = (VecDeque::new(), 0);
            for at in &begins {
                while window.front().is_some_and(|first| first + width <= *at) {
                    window.pop_front();
                }
                window.push_back(*at);
                most = most.max(window.len() as u64);
            }
            let took = begins.last().zip(begins.first()).map_or(1, |(last, first)| last - first);
            (allowed, most, executed as f64 * 1e6 / (took as f64 * allowed as f64), executed)
        }
    }
}

/// Returns the largest number of bodies of one key that ran at one moment.
fn most(events: &[(u64, i64, &str)], key: impl Fn(&str) -> u64) -> u64 {
    let (mut running, mut most): (HashMap<u64, i64>, _) = (HashMap::new(), 0);
    for (_, change, run) in events {
        let count = running.entry(key(run)).or_default();
        *count += change;
        most = most.max(*count);
    }
    most.unsigned_abs()
}

/// Returns the used part of an allowance of so many bodies at a time. Leaves out the first and the last tenth of the time,
/// in which the workers begin and run out of runs.
fn used(events: &[(u64, i64, &str)], allowed: u64) -> f64 {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return 0.0 };
    let tenth = (last.0 - first.0) / 10;
    let (from, until) = (first.0 + tenth, last.0 - tenth);
    let (mut running, mut before, mut busy) = (0_i64, from, 0.0);
    for (at, change, _) in events {
        let at = (*at).clamp(from, until);
        busy += running as f64 * (at - before) as f64;
        before = at;
        running += change;
    }
    busy / (allowed as f64 * (until - from) as f64)
}

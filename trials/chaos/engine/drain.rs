//! SIGTERM under load: the worker finishes its runs, and holds no lease when it has stopped.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use awaitly::clock::{ms, secs};
use awaitly::engine::Client;
use awaitly::journal::Status;
use awaitly::store::{Operate, RunQuery};
use awaitly_trials::lines::read;

use super::{JOB, Line, start};
use crate::process::signal;
use crate::schema::Schema;

const STOPS: u64 = 20;

/// The number of runs that are started before each stop. The worker does not finish them all.
const RUNS: u64 = 2000;

const PATIENCE: Duration = secs(30);

#[derive(Default)]
struct Verdict {
    /// Leases after the worker has stopped.
    held: usize,
    /// Runs that began and did not end.
    cut: usize,
    /// Runs that began twice.
    twice: usize,
    ended: usize,
}

pub(crate) async fn execute(url: &str, dice: fastrand::Rng) -> Result<bool> {
    Schema::lend(url, async |schema| measure(schema, dice).await).await
}

async fn measure(schema: &Schema, mut dice: fastrand::Rng) -> Result<bool> {
    let store = schema.store().await?;
    let client = Client::new(store.clone());
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.jsonl");
    let (mut verdict, mut slowest) = (Verdict::default(), Duration::ZERO);
    for stop in 0..STOPS {
        let first = stop * RUNS;
        let runs: Vec<_> = (first..first + RUNS).map(|run| (run.to_string(), dice.u64(0..400))).collect();
        client.start_many(JOB, runs).await?;
        let before = read::<Line>(&ledger)?.len();
        let mut worker = start(schema, &ledger)?;
        wait_for_lines(&ledger, before).await?;
        tokio::time::sleep(Duration::from_micros(dice.u64(0..800_000))).await;
        let stopping = Instant::now();
        signal(&worker, "TERM").await?;
        ensure!(worker.wait().await?.success(), "the worker failed");
        slowest = slowest.max(stopping.elapsed());
        let query = RunQuery::new().status(Status::Running).status(Status::Waiting).limit(1000);
        verdict.held += store.list(query).await?.items.into_iter().filter(|run| run.held).count();
    }
    judge(&read(&ledger)?, &mut verdict);
    store.close().await?;
    let Verdict { held, cut, twice, ended } = verdict;
    println!(
        "stops {STOPS} · leases held {held} · runs cut {cut} · begun twice {twice} · runs ended {ended} · slowest stop {} ms",
        slowest.as_millis()
    );
    Ok([held, cut, twice] == [0; 3])
}

async fn wait_for_lines(ledger: &Path, before: usize) -> Result<()> {
    let begun = Instant::now();
    while read::<Line>(ledger)?.len() == before {
        ensure!(begun.elapsed() < PATIENCE, "the worker did nothing for {PATIENCE:?}");
        tokio::time::sleep(ms(5)).await;
    }
    Ok(())
}

fn judge(lines: &[Line], verdict: &mut Verdict) {
    let mut begun = HashSet::new();
    for line in lines {
        match line {
            Line::Begun { run, .. } => verdict.twice += usize::from(!begun.insert(run)),
            Line::Ended { .. } => verdict.ended += 1,
        }
    }
    verdict.cut = begun.len() - verdict.ended;
}

//! A run that kills its process: it fails after five crashes, and the other runs complete.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use awaitly::RunError;
use awaitly::clock::{ms, secs};
use awaitly::engine::Client;
use awaitly_trials::lines::read;

use super::{JOB, Line, POISON, start};
use crate::process::signal;
use crate::schema::Schema;

const RUNS: u64 = 200;

/// The run with the poisonous input, among the others.
const POISONOUS: u64 = 70;

/// The number of crashes after which a run fails.
const CRASHES: usize = 5;

const PATIENCE: Duration = secs(120);

pub(crate) async fn execute(url: &str) -> Result<bool> {
    Schema::lend(url, measure).await
}

async fn measure(schema: &Schema) -> Result<bool> {
    let store = schema.store().await?;
    let client = Client::new(store.clone());
    let input = |run| if run == POISONOUS { POISON } else { 50 };
    let runs = client.start_many(JOB, (0..RUNS).map(|run| (run.to_string(), input(run)))).await?;
    let runs = runs.into_iter().collect::<Result<Vec<_>, _>>()?;
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.jsonl");
    let begun = Instant::now();
    let mut worker = start(schema, &ledger)?;
    let (mut deaths, mut open) = (0, runs.iter().collect::<Vec<_>>());
    while !open.is_empty() {
        ensure!(begun.elapsed() < PATIENCE, "{} runs have not ended", open.len());
        if worker.try_wait()?.is_some() {
            // A supervisor starts the worker again.
            (worker, deaths) = (start(schema, &ledger)?, deaths + 1);
        }
        let mut left = Vec::new();
        for run in open {
            if !run.has_ended().await? {
                left.push(run);
            }
        }
        open = left;
        tokio::time::sleep(ms(20)).await;
    }
    signal(&worker, "TERM").await?;
    ensure!(worker.wait().await?.success(), "the worker failed");
    let (mut completed, mut failed) = (0, 0);
    for (number, run) in (0..).zip(&runs) {
        match run.result().await {
            Ok(()) => completed += 1,
            Err(RunError::CrashedRepeatedly { .. }) if number == POISONOUS => failed += 1,
            Err(error) => println!("run {number}: {error}"),
        }
    }
    let poisonous = POISONOUS.to_string();
    let lines: Vec<Line> = read(&ledger)?;
    let attempts =
        lines.iter().filter(|line| matches!(line, Line::Begun { run, .. } if *run == poisonous)).count();
    store.close().await?;
    println!(
        "crashes {attempts} · worker processes that died {deaths} · poisonous runs failed {failed} of 1 · others completed \
         {completed} of {} · {:.1} s",
        RUNS - 1,
        begun.elapsed().as_secs_f64()
    );
    Ok(attempts == CRASHES && failed == 1 && completed == RUNS - 1)
}

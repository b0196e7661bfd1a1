//! durare on SQLite, as `DurableEngine::connect` sets it up: WAL journal,
//! `synchronous=NORMAL`, a pool of five connections.
//!
//! A step is a `#[durare::step]` function awaited inside a
//! `#[durare::workflow]`. The engine is not launched, so no background
//! dispatcher of queues or schedules competes with the runs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use durare::{DurableContext, DurableEngine, WorkflowOptions};

use crate::measure::{Peer, Workload, expected_sum};

pub struct Durare;

#[durare::step]
async fn noop(ctx: &DurableContext, index: u64) -> durare::Result<u64> {
    Ok(index)
}

#[durare::workflow]
async fn chain(ctx: DurableContext, steps: u64) -> durare::Result<u64> {
    let mut sum = 0;
    for index in 0..steps {
        sum += noop(&ctx, index).await?;
    }
    Ok(sum)
}

impl Peer for Durare {
    fn name(&self) -> &'static str {
        "durare 0.5.0"
    }

    fn settings(&self) -> &'static str {
        "SQLite, synchronous=NORMAL, defaults"
    }

    fn steps_per_run(&self, workload: Workload) -> u64 {
        match workload {
            Workload::Sequential => 4000,
            Workload::SixteenRuns => 500,
        }
    }

    async fn perform(&self, folder: &Path, runs: u64, steps: u64) -> Result<Duration> {
        let url = format!("sqlite://{}?mode=rwc", folder.join("durare.db").display());
        let engine = DurableEngine::connect(&url).await?.build().await?;

        let start = Instant::now();
        let mut handles = Vec::new();
        for run in 0..runs {
            let options = WorkflowOptions::with_id(format!("run-{run}"));
            handles.push(engine.start_with(Chain, steps, options).await?);
        }
        let mut sums = Vec::new();
        for handle in handles {
            sums.push(handle.await?);
        }
        let time = start.elapsed();

        ensure!(
            sums.iter().all(|sum| *sum == expected_sum(steps)),
            "a run returned a wrong sum"
        );
        engine.shutdown(Duration::from_secs(1)).await?;
        Ok(time)
    }
}

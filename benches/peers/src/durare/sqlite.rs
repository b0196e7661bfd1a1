//! durare on SQLite, as `DurableEngine::connect` sets it up: WAL journal,
//! `synchronous=NORMAL`, a pool of five connections.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use durare::{DurableEngine, WorkflowOptions};

use super::{Chain, NAME};
use crate::embedded::{Peer, Workload};
use crate::measure::expected_sum;

pub struct DurareSqlite;

impl Peer for DurareSqlite {
    fn name(&self) -> &'static str {
        NAME
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

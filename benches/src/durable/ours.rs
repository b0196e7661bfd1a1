use std::time::Instant;

use anyhow::Result;
use awaitly::persistence::SqliteStore;
use awaitly::store::Store;
use awaitly::{DurableRun, RunError, Workflow, step};

/// This library, at its defaults.
pub(crate) struct Ours;

async fn call(n: u64) -> Result<u64, RunError> {
    Ok(n)
}

async fn body(run: &DurableRun, steps: u64) -> Result<u64, RunError> {
    let mut sum = 0;
    for n in 0..steps {
        sum += step!(run, call(n));
    }
    Ok(sum)
}

impl Ours {
    /// `runs` runs at the same time, from opening to their kept result, with `steps` recorded steps each.
    pub(crate) async fn steps_per_second(runs: u64, steps: u64) -> Result<f64> {
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(folder.path().join("ours.db")).await?;
        let rate = Self::steps_per_second_on(store.clone(), runs, steps).await?;
        store.close().await?;
        Ok(rate)
    }

    /// The same on a store that is open already and holds no such runs.
    pub(crate) async fn steps_per_second_on(store: impl Store, runs: u64, steps: u64) -> Result<f64> {
        let workflow = Workflow::new("bench").store(store);
        let began = Instant::now();
        let tasks: Vec<_> = (0..runs)
            .map(|run| {
                let workflow = workflow.clone();
                tokio::spawn(async move {
                    workflow.run(format!("run {run}"), async |run| body(run, steps).await).await
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        let elapsed = began.elapsed();
        Ok((runs * steps) as f64 / elapsed.as_secs_f64())
    }
}

//! duroxide on SQLite, with its own pragmas: WAL journal and a `synchronous`
//! value SQLite does not know, which leaves NORMAL in force.
//!
//! A step is an activity scheduled and awaited by an orchestration. Its
//! dispatchers look for work at intervals, 100 ms unless told otherwise, and
//! that interval decides the default rate of a single run; hence the tuned
//! rows. With 16 runs it is the other way round: dispatchers that look more
//! often spend their time waiting for each other's SQLite lock.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use duroxide::providers::sqlite::SqliteProvider;
use duroxide::runtime::registry::ActivityRegistry;
use duroxide::runtime::{Runtime, RuntimeOptions};
use duroxide::{ActivityContext, Client, OrchestrationContext, OrchestrationRegistry};
use tokio::sync::mpsc;

use crate::embedded::{Peer, Workload};
use crate::measure::expected_sum;

pub struct Duroxide {
    settings: &'static str,
    options: RuntimeOptions,
    sequential_steps: u64,
    steps_of_sixteen: u64,
}

impl Duroxide {
    /// The options `RuntimeOptions::default()` gives.
    pub fn defaults() -> Self {
        Self {
            settings: "SQLite, synchronous=NORMAL, defaults (100 ms poll)",
            options: RuntimeOptions::default(),
            sequential_steps: 20,
            steps_of_sixteen: 12,
        }
    }

    /// The defaults, except that dispatchers look for work every millisecond.
    pub fn tuned() -> Self {
        Self {
            settings: "SQLite, synchronous=NORMAL, tuned (1 ms poll)",
            options: RuntimeOptions {
                dispatcher_min_poll_interval: Duration::from_millis(1),
                ..RuntimeOptions::default()
            },
            sequential_steps: 200,
            steps_of_sixteen: 6,
        }
    }
}

impl Peer for Duroxide {
    fn name(&self) -> &'static str {
        "duroxide 0.1.32"
    }

    fn settings(&self) -> &'static str {
        self.settings
    }

    fn steps_per_run(&self, workload: Workload) -> u64 {
        match workload {
            Workload::Sequential => self.sequential_steps,
            Workload::SixteenRuns => self.steps_of_sixteen,
        }
    }

    async fn perform(&self, folder: &Path, runs: u64, steps: u64) -> Result<Duration> {
        let url = format!("sqlite:{}?mode=rwc", folder.join("duroxide.db").display());
        let store = Arc::new(SqliteProvider::new(&url, None).await?);
        let (ended, mut endings) = mpsc::unbounded_channel();
        let runtime = Runtime::start_with_options(
            store.clone(),
            activities(),
            orchestrations(ended),
            self.options.clone(),
        )
        .await;
        let client = Client::new(store);

        let start = Instant::now();
        for run in 0..runs {
            client
                .start_orchestration_typed(instance(run), "chain", (run, steps))
                .await?;
        }
        let mut running = vec![true; usize::try_from(runs)?];
        while running.contains(&true) {
            let run: u64 = endings.recv().await.context("duroxide stopped")?;
            running[usize::try_from(run)?] = false;
        }
        let time = start.elapsed();

        for run in 0..runs {
            let sum: u64 = client
                .wait_for_orchestration_typed(&instance(run), Duration::from_secs(5))
                .await?
                .map_err(|error| anyhow!("run {run} failed: {error}"))?;
            ensure!(sum == expected_sum(steps), "run {run} returned a wrong sum");
        }
        runtime.shutdown(None).await;
        Ok(time)
    }
}

fn instance(run: u64) -> String {
    format!("run-{run}")
}

fn activities() -> ActivityRegistry {
    ActivityRegistry::builder()
        .register_typed(
            "noop",
            |_: ActivityContext, index: u64| async move { Ok(index) },
        )
        .build()
}

/// The orchestration that awaits the activities. When its body ends it says so
/// on `ended`, and that stops the clock: the client's own way of waiting looks
/// at intervals that grow to 100 ms, which would be charged to the steps.
fn orchestrations(ended: mpsc::UnboundedSender<u64>) -> OrchestrationRegistry {
    let chain = move |ctx: OrchestrationContext, (run, steps): (u64, u64)| {
        let ended = ended.clone();
        async move {
            let sum = add_up(&ctx, steps).await;
            // Nobody listens any more once the measurement is over.
            let _ = ended.send(run);
            sum
        }
    };
    OrchestrationRegistry::builder()
        .register_typed("chain", chain)
        .build()
}

async fn add_up(ctx: &OrchestrationContext, steps: u64) -> Result<u64, String> {
    let mut sum = 0;
    for index in 0..steps {
        sum += ctx
            .schedule_activity_typed::<u64, u64>("noop", &index)
            .await?;
    }
    Ok(sum)
}

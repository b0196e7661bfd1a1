//! cano with its redb checkpoint store: one redb transaction per checkpoint,
//! at redb's default durability, which syncs the file at every commit.
//!
//! A step is one turn of a `SteppedTask`: the `u64` cursor it returns is
//! written as a checkpoint row, in one commit, before the next turn begins. A
//! plain transition costs one commit too and was no faster when tried, but
//! records the name of the state and no value.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cano::RedbCheckpointStore;
use cano::prelude::*;
use tokio::task::JoinSet;

use crate::embedded::{Peer, Workload};

pub struct Cano;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    Working,
    Done,
}

/// Counts to `steps`, one recorded turn at a time.
struct Counter {
    steps: u64,
    /// Turns taken by all runs of one repetition, to check the result.
    taken: Arc<AtomicU64>,
}

#[task::stepped(state = State)]
impl Counter {
    async fn step(
        &self,
        _resources: &Resources,
        cursor: Option<u64>,
    ) -> Result<StepOutcome<u64, State>, CanoError> {
        let count = cursor.unwrap_or(0);
        if count == self.steps {
            return Ok(StepOutcome::Done(TaskResult::Single(State::Done)));
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(StepOutcome::More(count + 1))
    }
}

impl Peer for Cano {
    fn name(&self) -> &'static str {
        "cano 0.15.2"
    }

    fn settings(&self) -> &'static str {
        "redb checkpoints, immediate durability, defaults"
    }

    fn steps_per_run(&self, workload: Workload) -> u64 {
        match workload {
            Workload::Sequential => 8000,
            Workload::SixteenRuns => 500,
        }
    }

    async fn perform(&self, folder: &Path, runs: u64, steps: u64) -> Result<Duration> {
        let store = Arc::new(RedbCheckpointStore::new(folder.join("cano.redb"))?);
        let taken = Arc::new(AtomicU64::new(0));
        let workflows = (0..runs).map(|run| {
            let counter = Counter {
                steps,
                taken: taken.clone(),
            };
            Workflow::bare()
                .register_stepped(State::Working, counter)
                .add_exit_state(State::Done)
                .with_checkpoint_store(store.clone())
                .with_workflow_id(format!("run-{run}"))
        });
        let workflows: Vec<_> = workflows.collect();

        let start = Instant::now();
        let mut running = JoinSet::new();
        for workflow in workflows {
            running.spawn(async move {
                workflow
                    .orchestrate(State::Working, CancellationToken::disabled())
                    .await
            });
        }
        let mut ends = Vec::new();
        while let Some(end) = running.join_next().await {
            ends.push(end??);
        }
        let time = start.elapsed();

        ensure!(
            ends.iter().all(|end| *end == State::Done),
            "a run did not end"
        );
        ensure!(
            taken.load(Ordering::Relaxed) == runs * steps,
            "the runs took a wrong number of steps"
        );
        Ok(time)
    }
}

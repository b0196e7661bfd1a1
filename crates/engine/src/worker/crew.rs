use std::collections::HashMap;
use std::time::Duration;

use awaitly_core::clock::{ms, secs};
use awaitly_core::store::RunId;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::served::Execution;
use super::suspects::Suspects;

/// The executions of a worker, and the runs that were interrupted recently.
///
/// The reason for an interruption may last, for example if the journal of a run does not fit the code any more. Such a
/// run rests before its next execution, for a longer time after each interruption.
#[derive(Default)]
pub(super) struct Crew {
    executions: JoinSet<Done>,
    interrupted: HashMap<RunId, Interrupted>,
    pub(super) suspects: Suspects,
}

/// The end of an execution.
struct Done {
    run: RunId,
    was_interrupted: bool,
}

/// The recent interruptions of a run.
struct Interrupted {
    times: u32,
    last: Instant,
}

const SHORTEST_REST: Duration = ms(100);
const LONGEST_REST: Duration = secs(30);

/// The number of interrupted runs at which the crew forgets old interruptions.
const MANY: usize = 1024;

impl Crew {
    pub(super) fn len(&self) -> usize {
        self.executions.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.executions.is_empty()
    }

    /// Returns the time for which `run` rests if its next execution is interrupted.
    pub(super) fn rest(&self, run: &RunId) -> Duration {
        let times = self.interrupted.get(run).map_or(0, |interrupted| interrupted.times);
        SHORTEST_REST.saturating_mul(1 << times.min(16)).min(LONGEST_REST)
    }

    pub(super) fn spawn(&mut self, run: RunId, execution: Execution) {
        self.executions.spawn(async move {
            let was_interrupted = execution.await.is_err();
            Done { run, was_interrupted }
        });
    }

    /// Waits until an execution has ended. Returns `false` if there is none.
    pub(super) async fn one_ends(&mut self) -> bool {
        let Some(done) = self.executions.join_next().await else { return false };
        self.note(done);
        // Executions often end together, because their ends share a commit.
        while let Some(done) = self.executions.try_join_next() {
            self.note(done);
        }
        true
    }

    fn note(&mut self, done: Result<Done, JoinError>) {
        if let Ok(Done { run, .. }) = &done {
            self.suspects.note_end(run);
        }
        match done {
            Ok(Done { run, was_interrupted: true }) => self.interrupt(run),
            // Usually, no run was interrupted, so this needs no lookup.
            Ok(Done { run, was_interrupted: false }) if !self.interrupted.is_empty() => {
                self.interrupted.remove(&run);
            }
            Ok(_) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(%error, "the task of a run panicked outside of the run's body"),
        }
    }

    fn interrupt(&mut self, run: RunId) {
        let now = Instant::now();
        if self.interrupted.len() >= MANY {
            self.interrupted.retain(|_, interrupted| now < interrupted.last + 2 * LONGEST_REST);
        }
        let interrupted = self.interrupted.entry(run).or_insert(Interrupted { times: 0, last: now });
        (interrupted.times, interrupted.last) = (interrupted.times.saturating_add(1), now);
    }

    /// Interrupts all executions, and waits until they are dropped. Each dropped execution releases its lease.
    pub(super) async fn interrupt_all(&mut self) {
        self.executions.shutdown().await;
    }
}

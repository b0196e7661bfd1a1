//! Running a workflow under a harness and concluding the report.

use std::fmt;
use std::sync::Arc;

use awaitly_core::event::Event;
use awaitly_core::extend::stage;
use awaitly_core::store::AnyStore;
use awaitly_core::{DurableRun, FromStep, KeepRun, Run, RunError, Workflow};

use super::Harness;
use crate::clock::assert_paused;
use crate::report::{Log, Report};
use crate::script::{Player, Problem};
use crate::seed::Advice;
use crate::watched::{Watched, progress};

impl<X> Harness<X> {
    /// Runs `body` with a durable handle.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// # async fn reserve() -> Result<u32, RunError> { Ok(7) }
    /// let order = async |run: &DurableRun| Ok::<_, RunError>(step!(run, reserve()));
    /// simulate(async || {
    ///     let harness = Harness::new();
    ///     assert_eq!(harness.run(order).await.calls("reserve"), 1);
    ///     assert_eq!(harness.run(order).await.calls("reserve"), 0); // the recorded result
    /// });
    /// ```
    ///
    /// # Panics
    /// Panics if the scripts do not fit the run; the message lists every mismatch. Panics if tokio's time is not
    /// paused, or if the run is stuck: every task waits, and no timer ends the wait before the
    /// [limit](Self::time_limit).
    ///
    /// # Resume
    /// Resumes the run like [`Workflow::run`] with an existing run id.
    pub async fn run<T, E>(&self, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Report<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let (workflow, log) = self.prepare(Handle::Durable);
        let result = self.watched(workflow.run(Arc::clone(&self.run), body)).await;
        self.conclude(result, &log)
    }

    /// Runs a failed or cancelled run again, like [`Workflow::retry`].
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::{Harness, ok, panic, simulate};
    ///
    /// # async fn charge() -> Result<u32, RunError> { unreachable!() }
    /// let order = async |run: &DurableRun| Ok::<_, RunError>(step!(run, "charge", charge()));
    /// simulate(async || {
    ///     let outcomes = [panic("no network"), ok(7_u32)];
    ///     let harness = Harness::new().script("charge", outcomes).allow_unused_scripts();
    ///     assert!(harness.run(order).await.result.is_err());
    ///     assert_eq!(harness.retry(order).await.result, Ok(7));
    /// });
    /// ```
    ///
    /// # Panics
    /// Panics in the situations listed for [`run`](Self::run).
    pub async fn retry<T, E>(&self, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Report<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let (workflow, log) = self.prepare(Handle::Durable);
        let result = self.watched(workflow.retry(Arc::clone(&self.run), body)).await;
        self.conclude(result, &log)
    }

    /// Cancels a run that no process executes, and executes `body` for its compensations, like [`Workflow::cancel`].
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::report::RunEnding;
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// let order = async |run: &DurableRun| Ok::<u32, RunError>(step!(run.wait_for("payment")));
    /// simulate(async || {
    ///     let harness = Harness::new();
    ///     assert_eq!(harness.run(order).await.ending(), RunEnding::Waiting);
    ///     assert_eq!(harness.cancel(order).await.ending(), RunEnding::Cancelled);
    /// });
    /// ```
    ///
    /// # Panics
    /// Panics in the situations listed for [`run`](Self::run).
    pub async fn cancel<T, E>(&self, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Report<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let (workflow, log) = self.prepare(Handle::Durable);
        let result = self.watched(workflow.cancel(Arc::clone(&self.run), body)).await;
        self.conclude(result, &log)
    }

    /// Runs `body` with a volatile handle, which records no steps.
    ///
    /// # Panics
    /// Panics in the situations listed for [`run`](Self::run), and if `body` panics.
    pub async fn run_volatile<T, E>(&self, body: impl AsyncFnOnce(&Run) -> Result<T, E>) -> Report<T, E>
    where
        E: fmt::Display,
    {
        let (workflow, log) = self.prepare(Handle::Volatile);
        let result = self.watched(workflow.run_volatile(body)).await;
        self.conclude(result, &log)
    }

    /// Prepares the workflow of one run, and the log that receives its events.
    fn prepare(&self, handle: Handle) -> (Workflow<X>, Arc<Log>) {
        assert_paused();
        let log = Arc::new(Log::new(Arc::clone(&self.run)));
        let is_volatile = handle == Handle::Volatile;
        let (interleaving, seed) = (self.interleaving, self.seed);
        let (playbook, playing) = (Arc::clone(&self.playbook), Arc::clone(&log));
        let player = Player { playbook, log: playing, interleaving, seed, is_volatile };
        let listening = Arc::clone(&log);
        let store = self.store.clone().unwrap_or_else(|| AnyStore::new(self.memory.clone()));
        let workflow = self.workflow.clone().clock(self.clock).seed(seed).any_store(store);
        let workflow = workflow.observe(move |event: &Event| listening.heard(event));
        (stage::on_stage(workflow, Arc::new(player)), log)
    }

    fn watched<Fut>(&self, run: Fut) -> Watched<Fut> {
        Watched::new(run, self.time_limit)
    }

    fn conclude<T, E>(&self, result: Result<T, E>, log: &Log) -> Report<T, E> {
        progress();
        let (happened, mut problems) = log.take();
        let report = Report::new(result, happened, self.seed).knowing(self.playbook().known());
        problems.extend(self.playbook().for_sleeps(report.invocations()));
        if problems.is_empty() && !self.allows_unused && report.ending().is_final() {
            problems = self.playbook().leftovers();
        }
        if problems.is_empty() {
            return report;
        }
        let (problems, trace) = (listed(&problems), report.trace());
        // A report that exists during a panic prints the seed, which this message contains.
        drop(report);
        panic!("the script does not fit the run:{problems}\n\ntrace:\n{trace}\n{}", Advice(self.seed));
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n- {problem}")).collect()
}

/// The kind of a run's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handle {
    Durable,
    Volatile,
}

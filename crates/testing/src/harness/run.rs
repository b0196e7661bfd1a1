//! Running: what a harness makes of its workflow, and of what came of it.

use std::fmt;
use std::sync::Arc;

use awaitly_core::event::Event;
use awaitly_core::store::AnyStore;
use awaitly_core::{__stage, DurableRun, FromStep, KeepRun, Run, RunError, Workflow};

use super::Harness;
use crate::clock::assert_paused;
use crate::report::{Log, Report};
use crate::script::{Leftovers, Player, ScriptError};
use crate::watched::{Watched, progress};

impl<X> Harness<X> {
    /// Runs `body` on a durable handle.
    ///
    /// # Panics
    /// Where what was scripted is not what the run asked for, with all that does not fit. Where tokio's time is not
    /// paused. Where nothing can happen any more, because everything waits and nothing waits for a moment: see
    /// [`longest`](Self::longest).
    ///
    /// # Resume
    /// As [`Workflow::run`] with the same run id.
    pub async fn run<T, E>(&self, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Report<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        fitting(self.try_run(body).await)
    }

    /// The same as [`run`](Self::run), for a test that is about scripts.
    ///
    /// # Errors
    /// [`ScriptError`] where what was scripted is not what the run asked for.
    ///
    /// # Panics
    /// Where tokio's time is not paused.
    pub async fn try_run<T, E>(
        &self,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> Result<Report<T, E>, ScriptError>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let (workflow, log) = self.prepare(Handle::Durable);
        let result = self.watched(workflow.run(Arc::clone(&self.run), body)).await;
        self.conclude(result, &log)
    }

    /// The same as [`run`](Self::run), for a run that failed or was cancelled: see [`Workflow::retry`].
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub async fn retry<T, E>(&self, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Report<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let (workflow, log) = self.prepare(Handle::Durable);
        let result = self.watched(workflow.retry(Arc::clone(&self.run), body)).await;
        fitting(self.conclude(result, &log))
    }

    /// Cancels a run that nobody executes, and lets `body` undo what it did: see [`Workflow::cancel`].
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub async fn cancel<T, E>(&self, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Report<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        let (workflow, log) = self.prepare(Handle::Durable);
        let result = self.watched(workflow.cancel(Arc::clone(&self.run), body)).await;
        fitting(self.conclude(result, &log))
    }

    /// Runs `body` on a handle whose steps are not recorded.
    ///
    /// # Panics
    /// As [`run`](Self::run), and where the body does.
    pub async fn run_volatile<T, E>(&self, body: impl AsyncFnOnce(&Run) -> Result<T, E>) -> Report<T, E>
    where
        E: fmt::Display,
    {
        fitting(self.try_run_volatile(body).await)
    }

    /// The same as [`run_volatile`](Self::run_volatile), for a test that is about scripts.
    ///
    /// # Errors
    /// [`ScriptError`] where what was scripted is not what the run asked for.
    ///
    /// # Panics
    /// Where the body does, or tokio's time is not paused.
    pub async fn try_run_volatile<T, E>(
        &self,
        body: impl AsyncFnOnce(&Run) -> Result<T, E>,
    ) -> Result<Report<T, E>, ScriptError>
    where
        E: fmt::Display,
    {
        let (workflow, log) = self.prepare(Handle::Volatile);
        let result = self.watched(workflow.run_volatile(body)).await;
        self.conclude(result, &log)
    }

    /// The workflow of one run, and what is written down of it.
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
        (__stage::on_stage(workflow, Arc::new(player)), log)
    }

    fn watched<Fut>(&self, run: Fut) -> Watched<Fut> {
        Watched::new(run, self.longest)
    }

    fn conclude<T, E>(&self, result: Result<T, E>, log: &Log) -> Result<Report<T, E>, ScriptError> {
        progress();
        let (happened, mut problems) = log.take();
        let report = Report::new(result, happened, self.seed).knowing(self.playbook().known());
        problems.extend(self.playbook().for_sleeps(report.invocations()));
        if problems.is_empty() && self.leftovers == Leftovers::Refuse && report.ending().is_final() {
            problems = self.playbook().leftovers();
        }
        if problems.is_empty() {
            return Ok(report);
        }
        Err(ScriptError { problems, trace: report.trace(), seed: self.seed })
    }
}

/// Which handle a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handle {
    Durable,
    Volatile,
}

fn fitting<T, E>(report: Result<Report<T, E>, ScriptError>) -> Report<T, E> {
    report.unwrap_or_else(|error| panic!("{error}"))
}

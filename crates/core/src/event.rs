//! What a run tells while it runs: [`Event`], and who is told: [`Observer`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journal::{Key, Kind};

/// Something that happened in a run.
///
/// A step is known by its run and its key together. Events of one run are numbered; the number, not the
/// time, is their order. Inputs and values are never in an event; errors are, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The run id.
    pub run: Arc<str>,
    /// The number of the event in this execution of the run; 0 is the first.
    pub sequence: u64,
    /// The time since this execution of the run began, by a clock that never goes back.
    pub at: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// The step that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepId {
    /// What the step is identified by in its run.
    pub key: Key,
    /// What the step is called; several steps may share a name.
    pub name: Key,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is named for what it holds; units are those of its type")]
pub enum EventKind {
    /// The body is about to be called. `recorded` outcomes were there before.
    RunStarted { version: u32, recorded: usize },
    /// The body returned a value, and it is kept.
    RunSucceeded { duration: Duration },
    /// The body returned an error or panicked, and it is kept.
    RunFailed { duration: Duration, error: String },
    /// The run waits for an answer from outside.
    RunWaiting { duration: Duration },
    /// The run was cancelled.
    RunCancelled { duration: Duration },
    /// The run stopped for a reason that leaves it to be resumed: the store failed, a key was used twice.
    RunInterrupted { duration: Duration, error: String },
    /// The future of the run was dropped before the body ended. A durable run is left to be resumed.
    RunAborted { duration: Duration },

    /// The journal holds no outcome for the step.
    StepMissed { step: StepId },
    /// The journal holds an outcome for the step, and it is used.
    StepReused { step: StepId },
    /// The first attempt is about to begin.
    StepStarted { step: StepId },
    /// The step has a value. On a durable run it is not recorded yet.
    StepSucceeded { step: StepId, attempt: u32, duration: Duration },
    /// The step failed for good. On a durable run this is not recorded yet.
    StepFailed { step: StepId, attempt: u32, duration: Duration, error: String },
    /// The step ended without an outcome: its future was dropped, or the run was cancelled, ran out of time or stopped.
    StepAborted { step: StepId, attempt: u32, duration: Duration },
    /// The step's outcome is in the store.
    StepRecorded { step: StepId, kind: RecordedKind, bytes: usize, duration: Duration },
    /// The step waits for an answer from outside, or for its time to come.
    StepWaiting { step: StepId },
    /// The step was not run, because its condition did not hold.
    StepSkipped { step: StepId, reason: Option<String> },

    /// An attempt failed and another one follows after `delay`. `attempt` is the one that failed.
    RetryScheduled { step: StepId, attempt: u32, max_attempts: u32, delay: Duration, error: String },
    /// An attempt failed and no other one follows, although the step has a retry.
    RetriesExhausted { step: StepId, attempt: u32, duration: Duration, error: String },
    /// An attempt took too long and was dropped.
    AttemptTimedOut { step: StepId, attempt: u32, after: Duration },
    /// A guard did not let the attempt begin, and is asked again after `delay`. The attempt keeps its number.
    AttemptRefused { step: StepId, attempt: u32, by: String, reason: String, delay: Duration },

    /// Several steps at once are about to begin.
    ScopeStarted { scope: Key, kind: ScopeKind },
    /// Several steps at once have ended, well or not. `winner` is the first success of a race, from 0.
    ScopeEnded { scope: Key, kind: ScopeKind, duration: Duration, winner: Option<usize> },

    /// The body of a saga is about to be called.
    SagaStarted { saga: Key },
    /// The body of a saga returned a value: what it did stays.
    SagaSucceeded { saga: Key, duration: Duration },
    /// The body of a saga failed, or was cancelled; what it did is about to be undone.
    SagaFailed { saga: Key, duration: Duration, error: String },
    /// The compensations of so many steps are about to run, the last step's first. Each is a step of its own.
    UndoStarted { saga: Key, steps: usize },
    /// They have run. `failed` of them could not undo their step, or were not tried because one before failed.
    UndoEnded { saga: Key, duration: Duration, failed: usize },

    /// A hook let the run or step pass.
    HookPassed { hook: Hook, step: Option<StepId>, duration: Duration },
    /// A hook refused.
    HookRefused { hook: Hook, step: Option<StepId>, duration: Duration, error: String },
}

impl EventKind {
    /// The step that it is about, if it is about one.
    #[must_use]
    pub const fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepMissed { step }
            | Self::StepReused { step }
            | Self::StepStarted { step }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepAborted { step, .. }
            | Self::StepRecorded { step, .. }
            | Self::StepWaiting { step }
            | Self::StepSkipped { step, .. }
            | Self::RetryScheduled { step, .. }
            | Self::RetriesExhausted { step, .. }
            | Self::AttemptTimedOut { step, .. }
            | Self::AttemptRefused { step, .. } => Some(step),
            Self::HookPassed { step, .. } | Self::HookRefused { step, .. } => step.as_ref(),
            Self::RunStarted { .. }
            | Self::RunSucceeded { .. }
            | Self::RunFailed { .. }
            | Self::RunWaiting { .. }
            | Self::RunCancelled { .. }
            | Self::RunInterrupted { .. }
            | Self::RunAborted { .. }
            | Self::SagaStarted { .. }
            | Self::SagaSucceeded { .. }
            | Self::SagaFailed { .. }
            | Self::UndoStarted { .. }
            | Self::UndoEnded { .. }
            | Self::ScopeStarted { .. }
            | Self::ScopeEnded { .. } => None,
        }
    }
}

/// What kind of outcome was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedKind {
    /// A value.
    Value,
    /// The step's own error.
    Failed,
    /// A timeout, a refusal, or an outcome that could not be kept.
    Stopped,
}

impl From<Kind> for RecordedKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Value => Self::Value,
            Kind::Failed => Self::Failed,
            Kind::Stopped => Self::Stopped,
        }
    }
}

/// Which form of several steps at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// `parallel!`
    Parallel,
    /// `race!`
    Race,
    /// `each`
    Each,
}

/// Which hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// [`Workflow::before_run`](crate::Workflow::before_run)
    BeforeRun,
    /// [`Workflow::after_step`](crate::Workflow::after_step)
    AfterStep,
}

/// Is told what happens in a run, and can change nothing.
///
/// A closure over `&Event` is one. It is called on the task that runs the run, so it must be quick and
/// must not block. Where it panics, the run goes on; the first panic of a run is logged.
///
/// ```
/// use awaitly_core::event::{Event, Observer};
///
/// let print = |event: &Event| println!("{} {:?}", event.sequence, event.kind);
/// # fn observe(_: impl Observer) {}
/// # observe(print);
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Is told of `event`.
    fn on_event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

/// Those who watch one run, and the numbering of its events.
pub(crate) struct Observers {
    all: Arc<[Arc<dyn Observer>]>,
    next: AtomicU64,
    panic_reported: AtomicBool,
}

impl Observers {
    pub(crate) fn new(all: Arc<[Arc<dyn Observer>]>) -> Self {
        Self { all, next: AtomicU64::new(0), panic_reported: AtomicBool::new(false) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells everybody. Numbers are given here, so an observer sees them in order wherever the events
    /// of a run come from one task.
    pub(crate) fn tell(&self, workflow: &Arc<str>, run: &Arc<str>, at: Duration, kind: EventKind) {
        let event = Event {
            workflow: Arc::clone(workflow),
            run: Arc::clone(run),
            sequence: self.next.fetch_add(1, Ordering::Relaxed),
            at,
            kind,
        };
        for observer in self.all.iter() {
            let told = catch_unwind(AssertUnwindSafe(|| observer.on_event(&event)));
            if told.is_err() && !self.panic_reported.swap(true, Ordering::Relaxed) {
                tracing::error!(run = %run, "an observer panicked; the run goes on");
            }
        }
    }
}

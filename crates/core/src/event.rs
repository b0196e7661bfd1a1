//! Events of a run, and the observers that receive them.
//!
//! A run emits an [`Event`] for each change of its own state and of its steps. An [`Observer`] receives the events; it cannot
//! change the run. A run without observers builds no events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journal::{Key, Kind};

/// Something that happened in a run.
///
/// The run id and the key together identify a step. The events of one execution are numbered in their order. An event
/// contains errors as text, but never an input or a value.
///
/// An event serialises, for example as one line of a log:
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use awaitly_core::event::Event;
/// use awaitly_core::{RunError, Workflow};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let log = Arc::new(Mutex::new(Vec::new()));
/// let lines = Arc::clone(&log);
/// let write = move |event: &Event| lines.lock().unwrap().push(serde_json::to_string(event).unwrap());
/// let orders = Workflow::new("order").observe(write);
/// orders.run("order-42", async |_| Ok::<_, RunError>(7)).await.unwrap();
/// assert!(log.lock().unwrap()[0].starts_with(r#"{"workflow":"order","run":"order-42","sequence":0,"#));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The run id.
    pub run: Arc<str>,
    /// The number of the event in this execution of the run, counted from 0.
    pub sequence: u64,
    /// The time since this execution of the run began, on a monotonic clock.
    pub at: Duration,
    /// The change that the event reports.
    pub kind: EventKind,
}

/// The identity of a step in an event.
///
/// ```
/// use awaitly_core::event::{EventKind, StepId};
///
/// /// Returns the label of a metric: the name, because a key may contain an order number.
/// fn label(event: &EventKind) -> Option<&str> {
///     event.step().map(|step| step.name.as_str())
/// }
///
/// let step = StepId { key: "ship:order-42".into(), name: "ship".into() };
/// assert_eq!(label(&EventKind::StepReused { step }), Some("ship"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepId {
    /// The key, which is unique in the run.
    pub key: Key,
    /// The name, which several steps may share.
    pub name: Key,
}

/// The change that an event reports.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use awaitly_core::clock::secs;
/// use awaitly_core::event::{Event, EventKind};
/// use awaitly_core::{Error, Retry, Workflow, step};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// # async fn charge() -> Result<u32, String> { Err("the service is down".to_owned()) }
/// let retries = Arc::new(AtomicU32::new(0));
/// let count = Arc::clone(&retries);
/// let orders = Workflow::new("order").observe(move |event: &Event| {
///     if let EventKind::RetryScheduled { .. } = event.kind {
///         count.fetch_add(1, Ordering::Relaxed);
///     }
/// });
/// let failed = orders.run("order-42", async |run| {
///     Ok::<u32, Error<String>>(step!(run, "charge", retry = Retry::fixed(secs(1)).attempts(3), charge()))
/// });
/// assert!(failed.await.is_err());
/// assert_eq!(retries.load(Ordering::Relaxed), 2);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is named for its content, and its type states the unit")]
pub enum EventKind {
    /// The workflow is about to call the body. The journal already holds `recorded` outcomes.
    RunStarted { version: u32, recorded: usize },
    /// The body returned a value, and the workflow kept it.
    RunSucceeded { duration: Duration },
    /// The body returned an error or panicked, and the workflow kept the error.
    RunFailed { duration: Duration, error: String },
    /// The run waits for an answer from outside or for a moment, and this execution ends.
    RunWaiting { duration: Duration },
    /// The run was cancelled.
    RunCancelled { duration: Duration },
    /// The run stopped, for example because the store failed or two steps have one key. It can be resumed.
    RunInterrupted { duration: Duration, error: String },
    /// The program dropped the run's future before the body ended. A durable run can be resumed.
    RunAborted { duration: Duration },

    /// The journal holds no outcome for the step.
    StepMissed { step: StepId },
    /// The journal holds an outcome for the step, and the step returns it.
    StepReused { step: StepId },
    /// The first attempt is about to begin.
    StepStarted { step: StepId },
    /// The operation returned a value. A durable run has not recorded it yet.
    StepSucceeded { step: StepId, attempt: u32, duration: Duration },
    /// The step failed and makes no further attempt. A durable run has not recorded the failure yet.
    StepFailed { step: StepId, attempt: u32, duration: Duration, error: String },
    /// The step ended without an outcome: the program dropped its future, or the run was cancelled, timed out or stopped.
    StepAborted { step: StepId, attempt: u32, duration: Duration },
    /// The store has acknowledged the step's outcome.
    StepRecorded { step: StepId, kind: Kind, bytes: usize, duration: Duration },
    /// The step waits for an answer from outside, or for a moment.
    StepWaiting { step: StepId },
    /// The step did not run because its condition was false.
    StepSkipped { step: StepId, reason: Option<String> },

    /// Attempt number `attempt` failed, and the next one begins after `delay`.
    RetryScheduled { step: StepId, attempt: u32, max_attempts: u32, delay: Duration, error: String },
    /// The last attempt that the step's retry permits has failed.
    RetriesExhausted { step: StepId, attempt: u32, duration: Duration, error: String },
    /// An attempt exceeded its timeout, and the step dropped it.
    AttemptTimedOut { step: StepId, attempt: u32, after: Duration },
    /// A guard refused the attempt. The step asks the guard again after `delay`, and the attempt keeps its number.
    AttemptRefused { step: StepId, attempt: u32, by: String, reason: String, delay: Duration },

    /// A scope of concurrent steps is about to begin.
    ScopeStarted { scope: Key, kind: ScopeKind },
    /// A scope of concurrent steps has ended. `winner` is the index of the first success of a race.
    ScopeEnded { scope: Key, kind: ScopeKind, duration: Duration, winner: Option<usize> },

    /// The saga is about to call its body.
    SagaStarted { saga: Key },
    /// The body of a saga returned a value, so no step is undone.
    SagaSucceeded { saga: Key, duration: Duration },
    /// The body of a saga failed or was cancelled, so the saga is about to undo its steps.
    SagaFailed { saga: Key, duration: Duration, error: String },
    /// The saga is about to run the compensations of `steps` steps, in reverse order. Each compensation is a step of its own.
    UndoStarted { saga: Key, steps: usize },
    /// The compensations have run. `failed` of them failed, or did not run because an earlier one failed.
    UndoEnded { saga: Key, duration: Duration, failed: usize },

    /// A hook admitted the run or the outcome of a step. If `step` is `None`, the hook is the one before the run.
    HookPassed { step: Option<StepId>, duration: Duration },
    /// A hook refused the run or the outcome of a step. If `step` is `None`, the hook is the one before the run.
    HookRefused { step: Option<StepId>, duration: Duration, error: String },
}

impl EventKind {
    /// Returns the step that the event reports on, if any.
    ///
    /// ```
    /// use awaitly_core::event::{EventKind, StepId};
    ///
    /// let step = StepId { key: "ship:tea".into(), name: "ship".into() };
    /// assert_eq!(EventKind::StepStarted { step: step.clone() }.step(), Some(&step));
    /// assert_eq!(EventKind::RunStarted { version: 1, recorded: 0 }.step(), None);
    /// ```
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

/// The kind of a scope: the construct that runs its steps concurrently.
///
/// ```
/// use awaitly_core::event::{Event, EventKind, ScopeKind};
///
/// // Logs which racer won: the replica that answered first, for example.
/// let winners = |event: &Event| {
///     if let EventKind::ScopeEnded { scope, kind: ScopeKind::Race, winner, .. } = &event.kind {
///         println!("{}: {scope} was won by {winner:?}", event.run);
///     }
/// };
/// # let _ = awaitly_core::Workflow::new("order").observe(winners);
/// ```
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

/// Receives the events of a run.
///
/// An observer cannot change the run. Every `Fn(&Event)` closure is an observer. The run calls the observer on the task
/// of the run, so the observer must return quickly and must not block. If an observer panics, the run continues. Only
/// the first of these panics in each execution is logged.
///
/// ```
/// use awaitly_core::Workflow;
/// use awaitly_core::event::{Event, EventKind};
///
/// let failures = |event: &Event| {
///     if let EventKind::StepFailed { step, error, .. } = &event.kind {
///         eprintln!("{}: step {} failed: {error}", event.run, &*step.key);
///     }
/// };
/// let orders = Workflow::new("order").observe(failures);
/// # let _ = orders;
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Receives `event`.
    fn on_event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

/// The observers of one run, and the number of its next event.
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

    /// Hands the event to every observer. The number is drawn here, so an observer sees ascending numbers if all events of the
    /// run come from one task.
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

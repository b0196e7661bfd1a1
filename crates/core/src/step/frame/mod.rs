//! The part of a step that does not depend on the caller's types, so that it is compiled once.
//!
//! [`Frame`] is the data of a step. [`before`], [`attempts`] and [`outcome`] are its three phases. [`retries`] counts
//! attempts across executions, and [`pause`] distinguishes a failure of the step from the end of its run.

mod attempts;
mod before;
mod outcome;
mod pause;
mod retries;

use std::fmt;
use std::time::{Duration, Instant};

use tracing::Span;

pub(super) use self::attempts::Running;
pub(crate) use self::outcome::Destination;
pub(super) use self::outcome::Recording;
pub(super) use self::retries::Next;
use self::retries::Retries;
use super::limits::Limits;
use crate::clock::{Clock, SystemClock};
use crate::error::RunError;
use crate::event::{EventKind, StepId};
use crate::journal::{EncodeError, Fingerprint, Key, OnChange, Outcome, Taken};
use crate::shared::{Noted, Shared};
use crate::store::{Durability, OnRecorded};

/// A step without its operation.
///
/// Data that only some steps need lies in [`Detail`], in a box that is allocated on first use. A plain step carries
/// only a name and a few words.
pub(crate) struct Frame<'r> {
    run: Option<&'r Shared>,
    name: Key,
    timeout: Option<Duration>,
    attempt: u32,
    previous_delay: Duration,
    detail: Option<Box<Detail>>,
}

/// The rarely used parts of a step.
#[derive(Default)]
pub(super) struct Detail {
    /// The key, if the run tracks keys.
    key: Option<Taken>,
    /// Whether the key belongs to the journal.
    recorded: bool,
    pub(super) input: Option<Result<Fingerprint, EncodeError>>,
    pub(super) on_change: OnChange,
    pub(super) deadline: Option<Duration>,
    pub(super) durability: Option<Durability>,
    /// The beginning of the first attempt, for durations and the deadline.
    began: Option<Instant>,
    /// The moment at which the guards admitted the attempt, if it had to wait.
    admitted: Option<Instant>,
    limits: Option<Box<Limits>>,
    spans: Option<Box<Spans>>,
    /// Whether the new outcome replaces a recorded one.
    on_recorded: OnRecorded,
    /// Whether the step, a compensation, runs and is recorded even if the run was cancelled or is out of time.
    shielded: bool,
    /// The pauses inside the attempt.
    noted: Noted,
    /// The retries that outlive this execution, and the refusals.
    retries: Option<Box<Retries>>,
    /// Whether the step is between its first attempt and its outcome.
    in_flight: bool,
    /// Whether the operation is being polled. Other code can see this only during a panic of the operation.
    polling: bool,
}

/// The spans of a traced step.
struct Spans {
    step: Span,
    attempt: Option<Span>,
}

impl<'r> Frame<'r> {
    /// Creates the frame of a step whose run has no shared state.
    #[inline]
    pub(crate) const fn plain(name: Key) -> Self {
        Self::new(None, name)
    }

    /// Creates the frame of a step that takes its key from its name, if the run tracks keys.
    pub(crate) fn named(run: &'r Shared, name: Key, recorded: bool) -> Self {
        run.stopping.built();
        if !recorded && !run.watchers.is_observed() {
            return Self::new(Some(run), name);
        }
        let key = run.keys.take_name(&name, recorded);
        Self::taken(run, name, key, recorded)
    }

    /// Creates the frame of a step of a list, with a key that begins with the list's own.
    pub(crate) fn keyed(run: &'r Shared, name: Key, key: impl FnOnce() -> Key, recorded: bool) -> Self {
        if !recorded && !run.watchers.is_observed() {
            return Self::new(Some(run), name);
        }
        let key = run.keys.take_key(key(), recorded);
        Self::taken(run, name, key, recorded)
    }

    fn taken(run: &'r Shared, name: Key, key: Taken, recorded: bool) -> Self {
        let shielded = recorded && run.execution.is_shielded();
        let detail = Box::new(Detail { key: Some(key), recorded, shielded, ..Detail::default() });
        let (attempt, previous_delay) = (0, Duration::ZERO);
        Self { run: Some(run), name, timeout: None, attempt, previous_delay, detail: Some(detail) }
    }

    #[inline]
    const fn new(run: Option<&'r Shared>, name: Key) -> Self {
        let (attempt, previous_delay) = (0, Duration::ZERO);
        Self { run, name, timeout: None, attempt, previous_delay, detail: None }
    }

    pub(super) const fn run(&self) -> Option<&'r Shared> {
        self.run
    }

    pub(crate) const fn name(&self) -> &Key {
        &self.name
    }

    pub(super) const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = Some(timeout);
    }

    pub(super) fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    pub(crate) fn set_key(&mut self, key: &Key) {
        let Some(run) = self.run else { return };
        let name = &self.name;
        if let Some(detail) = &mut self.detail
            && let Some(taken) = detail.key.take()
        {
            detail.key = Some(run.keys.exchange_key(name, taken, key, detail.recorded));
        }
    }

    /// Protects the step and its inner steps from all ends of the run, except a failure of its store.
    pub(crate) fn shield(&mut self) {
        self.detail().shielded = true;
    }

    /// Whether neither a cancellation nor the run's deadline ends the step.
    pub(crate) fn is_shielded(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.shielded)
    }

    /// Returns the outcome in the journal, if it was not handed out yet.
    pub(crate) fn peek(&self) -> Option<Outcome> {
        self.run.filter(|_| self.is_recorded())?.keys.peek(self.key())
    }

    /// Whether the journal holds an outcome of the step that was not handed out yet.
    pub(crate) fn is_known(&self) -> bool {
        self.peek().is_some_and(|outcome| !outcome.is_retrying())
    }

    fn is_recorded(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.recorded)
    }

    /// Returns the identity of the step for observers: its key, or its name if the run does not track keys.
    fn key(&self) -> &Key {
        match self.detail.as_ref().and_then(|detail| detail.key.as_ref()) {
            Some(Taken::New(key) | Taken::Duplicate(key)) => key,
            None => &self.name,
        }
    }

    /// Returns the identity of the step in errors and for its randomness: the key of a recorded step, or the name of an
    /// unrecorded one. It does not depend on the presence of observers.
    pub(crate) fn label(&self) -> &Key {
        if self.is_recorded() { self.key() } else { &self.name }
    }

    pub(super) fn id(&self) -> StepId {
        StepId { key: self.key().clone(), name: self.name.clone() }
    }

    fn clock(&self) -> &dyn Clock {
        self.run.map_or(&SystemClock, |run| run.time.clock())
    }

    pub(super) fn tell(&self, kind: impl FnOnce(StepId) -> EventKind) {
        if let Some(run) = self.run {
            run.tell(|| kind(self.id()));
        }
    }

    /// Stops the run permanently.
    pub(super) fn stopped(&self, error: RunError) -> RunError {
        self.refuses(&error);
        match self.run {
            Some(run) => run.stopping.stopped(error),
            None => error,
        }
    }

    /// Reports the reason why the step does not continue to the stage of a test.
    pub(super) fn refuses(&self, error: &RunError) {
        if let Some(stage) = self.run.and_then(Shared::stage) {
            stage.refuses(Some(&self.id()), error);
        }
    }

    /// Returns the step's name in errors.
    pub(super) fn as_subject(&self) -> Box<str> {
        format!("step `{}`", self.label()).into()
    }

    fn duration(&self) -> Duration {
        let began = self.detail.as_ref().and_then(|detail| detail.began);
        began.map_or(Duration::ZERO, |began| self.clock().now().saturating_duration_since(began))
    }

    pub(super) fn skipped(&self, reason: Option<String>) {
        self.tell(|step| EventKind::StepSkipped { step, reason });
    }

    /// Sends the event that the step was dropped before its outcome.
    fn aborted(&self, polling: bool) {
        let attempt = self.attempt;
        self.tell(|step| EventKind::StepAborted { step, attempt, duration: self.duration() });
        if let Some(run) = self.run.filter(|_| polling && self.is_recorded()) {
            run.stopping.note_panic(self.label());
        }
    }
}

impl Drop for Frame<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(detail) = self.detail.as_ref().filter(|detail| detail.in_flight) {
            self.aborted(detail.polling);
        }
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("name", &self.name).field("key", self.key()).finish_non_exhaustive()
    }
}

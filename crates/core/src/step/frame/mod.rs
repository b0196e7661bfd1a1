//! All of a step that does not depend on the caller's types, so that it is compiled once.
//!
//! [`Frame`] is what a step carries; [`before`], [`attempts`] and [`outcome`] are its three ages. [`retries`] counts
//! attempts across executions, and [`pause`] tells a failure of the step from the end of its run.

mod attempts;
mod before;
mod outcome;
mod pause;
mod retries;

use std::fmt;
use std::time::{Duration, Instant};

use tracing::Span;

pub(super) use self::attempts::Running;
pub use self::outcome::Place;
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
/// What only some steps need lies in [`Detail`], behind a pointer that is made when it is first needed:
/// a plain step carries a name and a few words.
pub struct Frame<'r> {
    run: Option<&'r Shared>,
    name: Key,
    timeout: Option<Duration>,
    attempt: u32,
    previous_delay: Duration,
    detail: Option<Box<Detail>>,
}

/// The rare parts of a step.
#[derive(Default)]
pub(super) struct Detail {
    /// The key, where the run keeps count of keys.
    key: Option<Taken>,
    /// Whether it is a key of the journal.
    recorded: bool,
    pub(super) input: Option<Result<Fingerprint, EncodeError>>,
    pub(super) on_change: OnChange,
    pub(super) deadline: Option<Duration>,
    pub(super) durability: Option<Durability>,
    /// When the first attempt began, for durations and the deadline.
    began: Option<Instant>,
    /// When the attempt was admitted, where it had to wait for that.
    admitted: Option<Instant>,
    limits: Option<Box<Limits>>,
    spans: Option<Box<Spans>>,
    /// Whether the journal holds an outcome whose place the new one takes.
    on_recorded: OnRecorded,
    /// The step runs and is recorded also where the run was cancelled or is out of time: it undoes another one.
    shielded: bool,
    /// The pauses that came up inside of the attempt.
    noted: Noted,
    /// The retries that outlive this execution, and the refusals.
    retries: Option<Box<Retries>>,
    /// Between the first attempt and the outcome.
    in_flight: bool,
    /// The operation is being polled. Seen from outside only while it panics.
    polling: bool,
}

/// The spans of a step that somebody traces.
struct Spans {
    step: Span,
    attempt: Option<Span>,
}

impl<'r> Frame<'r> {
    /// The frame of a step whose run has nothing to share.
    #[inline]
    pub(crate) const fn plain(name: Key) -> Self {
        Self::new(None, name)
    }

    /// The frame of a step that takes its key from its name, where keys are kept count of.
    pub(crate) fn named(run: &'r Shared, name: Key, recorded: bool) -> Self {
        run.stopping.built();
        if !recorded && !run.watchers.is_observed() {
            return Self::new(Some(run), name);
        }
        let key = run.keys.take_name(&name, recorded);
        Self::taken(run, name, key, recorded)
    }

    /// The frame of a step of a list, whose keys begin with what the list has taken.
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

    /// Lets the step run whatever becomes of the run, short of a failure of its store. So do the steps inside of it.
    pub(crate) fn shield(&mut self) {
        self.detail().shielded = true;
    }

    /// Whether neither a cancellation nor the run's deadline ends the step.
    pub(crate) fn is_shielded(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.shielded)
    }

    /// What the journal holds for the step, if that was not handed out yet.
    pub(crate) fn peek(&self) -> Option<Outcome> {
        self.run.filter(|_| self.is_recorded())?.keys.peek(self.key())
    }

    /// Whether the journal holds an outcome for the step that was not handed out yet.
    pub(crate) fn is_known(&self) -> bool {
        self.peek().is_some_and(|outcome| !outcome.is_retrying())
    }

    fn is_recorded(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.recorded)
    }

    /// What the step is known by to those who watch: its key, or its name where nobody keeps count.
    fn key(&self) -> &Key {
        match self.detail.as_ref().and_then(|detail| detail.key.as_ref()) {
            Some(Taken::New(key) | Taken::Duplicate(key)) => key,
            None => &self.name,
        }
    }

    /// What the step is called in errors, and what its randomness is drawn from: the key of a recorded step,
    /// the name of any other. So it is the same whether somebody watches or not.
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

    /// Stops the run for good.
    pub(super) fn stopped(&self, error: RunError) -> RunError {
        self.refuses(&error);
        match self.run {
            Some(run) => run.stopping.stopped(error),
            None => error,
        }
    }

    /// Tells a test why the library does not go on with the step.
    pub(super) fn refuses(&self, error: &RunError) {
        if let Some(stage) = self.run.and_then(Shared::stage) {
            stage.refuses(Some(&self.id()), error);
        }
    }

    /// The step, as errors speak of it.
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

    /// A step that is dropped in the middle says so.
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

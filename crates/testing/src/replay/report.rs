use std::sync::Arc;

use awaitly_core::RunError;
use awaitly_core::journal::{Key, Timestamp};
use awaitly_core::store::RunId;
use serde::Serialize;

/// The report of a resume check. [`Display`](std::fmt::Display) formats it for readers, with a next action for each
/// finding; as JSON it is meant for tools.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Replay {
    /// The id of the run.
    pub run: RunId,
    /// The name of the workflow that recorded the run.
    pub workflow: Arc<str>,
    /// The version of the workflow that last wrote the journal.
    pub version: u32,
    /// The steps whose recorded outcomes the body received, in the order of requests.
    pub reused: Vec<Key>,
    /// The steps that would run: those at which the body stopped, and those that received a value.
    pub would_run: Vec<WouldRun>,
    /// The questions at which the run would wait, whether already open or newly asked.
    pub waits: Vec<Key>,
    /// The recorded sleeps that are not over.
    pub sleeps: Vec<Sleeping>,
    /// The records that are lost: the body ended and did not ask for them.
    pub never_asked: Vec<Unasked>,
    /// The records that the body had not asked for when it stopped. They may be lost, for example because a step was
    /// renamed, or the body may ask for them later, for example if it stopped at a new step.
    pub not_reached: Vec<Unasked>,
    /// The records that are no longer needed: those inside a recorded step, those in a branch that was dropped, and
    /// notifications about answered questions.
    pub passed_over: Vec<Key>,
    /// The records inside the operations of steps that would run. The check does not call these operations, so it
    /// cannot judge the records.
    pub unchecked: Vec<Key>,
    /// The records that do not decode to the type that the body requests. The run stops at the first.
    pub undecodable: Vec<Undecodable>,
    /// The steps that received a value of a wrong type. The run stops at the first.
    pub misfits: Vec<Misfit>,
    /// Other reasons why the library refused to begin or continue the run.
    pub refused: Vec<RunError>,
    /// The names and keys with a given value that matched no executed step.
    pub unused: Vec<Key>,
    /// The ending of the body in the check.
    pub end: End,
    /// The recorded ending of the run. `None` if the run had not ended, or if the journal does not contain the
    /// ending.
    pub recorded_end: Option<End>,
    /// Whether the body returned a result that differs from the recorded one, although both are values or both are
    /// errors.
    pub result_differs: bool,
}

/// A step that would run on a resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WouldRun {
    /// The key under which the outcome would be recorded.
    pub key: Key,
    /// The name of the step.
    pub name: Key,
    /// The reason why it would run.
    pub why: Why,
    /// The course of the step in the check.
    pub here: Here,
}

/// The reason why a step would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// The journal has no record with its key.
    NotRecorded,
    /// The recorded outcome is a failure, and the step does not reuse failures.
    Failed,
    /// The recorded outcome belongs to another input, and the step runs again if its input changes.
    InputChanged,
    /// The step is volatile and runs on each execution.
    Volatile,
}

/// The course of an unrecorded step in the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Here {
    /// The body stopped at the step.
    Stopped,
    /// The step received a value, or its operation was called, and the body continued.
    Given,
    /// The body dropped the step because another branch ended first.
    Dropped,
}

/// A record or an open question that the body did not ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unasked {
    /// The key.
    pub key: Key,
    /// The kind of the entry.
    pub what: What,
}

/// The kind of an entry that the body did not ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// The outcome of a step.
    Outcome,
    /// The outcome of a step that the new code builds but skips.
    Skipped,
    /// An open question.
    Question,
}

/// A recorded sleep that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Sleeping {
    /// The key of the sleep.
    pub key: Key,
    /// The end of the sleep, in milliseconds since the Unix epoch.
    pub until: Timestamp,
}

/// A record that does not decode to the requested type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Undecodable {
    /// The key of the step. `None` for the input or the result of the run.
    pub key: Option<Key>,
    /// The description of the record in errors.
    pub what: Box<str>,
    /// The requested type.
    pub type_name: Box<str>,
    /// The decoder's error.
    pub reason: Box<str>,
}

/// A given value whose type does not match its step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Misfit {
    /// The key of the step, or its name if the step is volatile.
    pub step: Key,
    /// The type of the given value.
    pub given: Box<str>,
    /// The type of the step. `None` if the step's value may borrow, so that no value can be given.
    pub expected: Option<Box<str>>,
}

/// The ending of a body in the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// The body returned a value.
    Completed,
    /// The body returned this error.
    Failed(Box<str>),
    /// The body panicked with this message.
    Panicked(Box<str>),
    /// The body returned because the run waits for an answer or a time.
    Waiting,
    /// The run was cancelled.
    Cancelled,
    /// The library refused to begin or continue the run.
    Refused,
    /// The body stopped making progress: at the steps, questions or sleeps in the report, or, if it lists none, at a
    /// future that is not a step.
    Rests,
    /// The body kept waking itself and was polled this many times.
    Spins(usize),
}

impl Replay {
    /// Returns whether the check found no lost record and no obstacle to the resume, as far as the body came.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings().is_empty()
    }

    /// Asserts that the report is [clean](Self::is_clean). A run that used all of its records and continues with new
    /// steps passes.
    ///
    /// # Panics
    /// Panics with the report if it has a finding.
    #[track_caller]
    pub fn assert_resumes(&self) {
        assert!(self.is_clean(), "{self}");
    }

    /// Returns whether an idle body has reached its natural stopping point: it asked for all records, and it stopped
    /// at a step or sleeps.
    pub(super) fn is_settled(&self) -> bool {
        let stands = self.would_run.iter().any(|step| step.here == Here::Stopped);
        let all_asked = self.never_asked.is_empty() && self.not_reached.is_empty();
        all_asked && (stands || !self.sleeps.is_empty())
    }

    /// Returns whether the body ended on its own, so that it will never ask for the remaining records.
    pub(super) fn is_certain(&self) -> bool {
        let of_its_own = matches!(self.end, End::Completed | End::Failed(_) | End::Panicked(_));
        let stopped = !(self.undecodable.is_empty() && self.misfits.is_empty() && self.refused.is_empty());
        of_its_own && !stopped
    }

    /// Returns whether the body ended differently than the recorded run. A body that did not end proves no
    /// difference.
    pub(super) fn ends_otherwise(&self) -> bool {
        match (&self.recorded_end, &self.end) {
            (Some(End::Failed(_) | End::Panicked(_)), End::Completed) => true,
            (Some(End::Completed), End::Failed(_)) => true,
            (Some(End::Failed(_) | End::Panicked(_)), End::Panicked(_)) => false,
            (_, End::Panicked(_)) => true,
            _ => false,
        }
    }
}

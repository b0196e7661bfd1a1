use std::sync::Arc;

use awaitly_core::RunError;
use awaitly_core::journal::{Key, Timestamp};
use awaitly_core::store::RunId;
use serde::Serialize;

/// What became of a recorded journal with this code. Its text is a report for people, with a next move for each finding;
/// as JSON it is for tools.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Replay {
    /// The run.
    pub run: RunId,
    /// The workflow that recorded it.
    pub workflow: Arc<str>,
    /// The version that recorded it last.
    pub version: u32,
    /// The recorded steps whose outcomes the body was given, in the order in which it asked.
    pub reused: Vec<Key>,
    /// The steps that would run: those at which the body stopped, and those that it was given values for.
    pub would_run: Vec<WouldRun>,
    /// The questions that it would wait at: open ones, and ones that it would ask.
    pub waits: Vec<Key>,
    /// The recorded sleeps that are not over.
    pub sleeps: Vec<Sleeping>,
    /// What is recorded, and nothing asked for though the body came to its end: it is lost.
    pub never_asked: Vec<Unasked>,
    /// What is recorded, and nothing asked for before the body stopped. It may be lost: that is what a renamed step looks
    /// like; or come later, where a new step stands before it.
    pub not_reached: Vec<Unasked>,
    /// What is recorded, and not needed any more: inside of a recorded step, in a branch that was dropped, notices of
    /// questions that were answered.
    pub passed_over: Vec<Key>,
    /// What is recorded inside of the operations of steps that would run. They are not called, so nobody knows.
    pub unchecked: Vec<Key>,
    /// What is recorded in a form that is not of the type that the body asks for any more. The run stops at the first.
    pub undecodable: Vec<Undecodable>,
    /// The steps that a value was given for which is not of their type. The run stops at the first.
    pub misfits: Vec<Misfit>,
    /// Why else the library refused to begin the run, or to go on with it.
    pub refused: Vec<RunError>,
    /// The names and keys that a value was given for, and that no step that ran had.
    pub unused: Vec<Key>,
    /// How far the body came.
    pub end: End,
    /// How the run ended when it was recorded; `None` where it had not, or that is not known.
    pub recorded_end: Option<End>,
    /// Whether the body came to another result than the recorded one, of the same kind.
    pub result_differs: bool,
}

/// A step that would run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WouldRun {
    /// What its outcome would be recorded under.
    pub key: Key,
    /// What it is called.
    pub name: Key,
    /// Why it runs.
    pub why: Why,
    /// What became of it in the check.
    pub here: Here,
}

/// Why a step would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// Nothing is recorded under its key.
    NotRecorded,
    /// A failure is recorded, and this step does not keep failures.
    Failed,
    /// What is recorded was made from another input, and the step is to run again then.
    InputChanged,
    /// It is a volatile step: it runs each time.
    Volatile,
}

/// What became of a step in the check, that would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Here {
    /// The body stopped at it.
    Stopped,
    /// It was given a value, or was let run, and the body went on.
    Given,
    /// The body dropped it, because another branch ended first.
    Dropped,
}

/// Something recorded that nothing asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unasked {
    /// What it is recorded under.
    pub key: Key,
    /// What it is.
    pub what: What,
}

/// What is recorded under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// The outcome of a step.
    Outcome,
    /// The outcome of a step that is there, but skipped.
    Skipped,
    /// A question that is open.
    Question,
}

/// A recorded sleep that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Sleeping {
    /// The key of the sleep.
    pub key: Key,
    /// When it is over, in milliseconds since 1970.
    pub until: Timestamp,
}

/// Something recorded that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Undecodable {
    /// The key of the step; `None`: the input of the run, or its result.
    pub key: Option<Key>,
    /// What it is, as errors speak of it.
    pub what: Box<str>,
    /// The type that was asked for.
    pub type_name: Box<str>,
    /// What the decoder said.
    pub reason: Box<str>,
}

/// A value that was given for a step, and is not what the step has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Misfit {
    /// The key of the step; its name, where it is volatile.
    pub step: Key,
    /// The type of what was given.
    pub given: Box<str>,
    /// The type that the step has; `None`: its value may borrow, so that none can be given.
    pub expected: Option<Box<str>>,
}

/// How far a body came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// It returned a value.
    Completed,
    /// It returned this error.
    Failed(Box<str>),
    /// It panicked, with this message.
    Panicked(Box<str>),
    /// It returned because it waits for an answer, or for its time to come.
    Waiting,
    /// The run was cancelled.
    Cancelled,
    /// The library refused to begin the run, or to go on with it.
    Refused,
    /// It stands still, at what else the report says; where that is nothing, at something that is none of its steps.
    Rests,
    /// It wakes itself again and again, and was polled this often.
    Spins(usize),
}

impl Replay {
    /// Whether nothing that is recorded is lost, as far as the check came.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings().is_empty()
    }

    /// Passes where [nothing recorded is lost](Self::is_clean). A run that simply goes on, from where all that is
    /// recorded was used, is fine.
    ///
    /// # Panics
    /// Where something is, with the report.
    #[track_caller]
    pub fn assert_resumes(&self) {
        assert!(self.is_clean(), "{self}");
    }

    /// Whether a body that does not move is where it can only be: all that is recorded was asked for, and it stands at a
    /// step, or sleeps.
    pub(super) fn is_settled(&self) -> bool {
        let stands = self.would_run.iter().any(|step| step.here == Here::Stopped);
        let all_asked = self.never_asked.is_empty() && self.not_reached.is_empty();
        all_asked && (stands || !self.sleeps.is_empty())
    }

    /// Whether the body came to an end that is of its own making, so that what it did not ask for it never will.
    pub(super) fn is_certain(&self) -> bool {
        let of_its_own = matches!(self.end, End::Completed | End::Failed(_) | End::Panicked(_));
        let stopped = !(self.undecodable.is_empty() && self.misfits.is_empty() && self.refused.is_empty());
        of_its_own && !stopped
    }

    /// Whether the body ended otherwise than the run did. One that did not come to its end says nothing.
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

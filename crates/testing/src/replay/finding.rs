use std::fmt;

use awaitly_core::RunError;
use awaitly_core::journal::Key;
use serde::Serialize;

use crate::keys::quoted;
use crate::report::RunEnding;

/// A finding of a resume check: a record that a resumed run would lose, or an obstacle that would stop the run.
///
/// Its [`Display`](fmt::Display) text states the finding and the next action. A `key` is the key of a step or of a
/// question, which is a step that waits for an answer from outside.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the field names describe their content")]
pub enum Finding {
    /// The body ended without asking for a recorded step. If the step was probably renamed, `new_key` is its new key.
    StepLost { key: Key, new_key: Option<Key> },
    /// The body builds a recorded step, but the condition of the step now skips it.
    StepSkipped { key: Key },
    /// The body ended without waiting for the answer to an open question.
    QuestionLost { key: Key },
    /// The body stopped before it asked for a recorded step or, if `is_question`, for an open question. It may ask
    /// later. `stopped_at` lists the keys of the steps at which the body stopped. `new_key` is as for
    /// [`StepLost`](Self::StepLost).
    NotReached { key: Key, is_question: bool, new_key: Option<Key>, stopped_at: Vec<String> },
    /// A record does not decode to the type that the body requests. `step` is `None` for the input or the result of
    /// the run; `what` names the record. `type_name` is the requested type, and `reason` is the decoder's error.
    Undecodable { step: Option<Key>, what: Box<str>, type_name: Box<str>, reason: Box<str> },
    /// The type of a value from [`ResumeCheck::value`](super::ResumeCheck::value) differs from the type of the step's
    /// value. `given` and `expected` are names of types; `expected` is `None` if the step's value may borrow, because
    /// such a step takes no given value.
    WrongType { step: Key, given: Box<str>, expected: Option<Box<str>> },
    /// The library refused to begin or to continue the run, with this error.
    Refused(RunError),
    /// The body woke itself after each poll and did not end. The check gave up after this many `polls`.
    NeverEnds { polls: usize },
    /// The run ends differently in the check than in the journal. `recorded` is `None` if the recorded run had not
    /// ended.
    EndsDifferently { recorded: Option<RunEnding>, now: RunEnding },
}

impl Finding {
    /// Returns whether the finding is a recorded step or an open question that the body did not ask for.
    pub(super) const fn is_unrequested(&self) -> bool {
        matches!(
            self,
            Self::StepLost { .. }
                | Self::StepSkipped { .. }
                | Self::QuestionLost { .. }
                | Self::NotReached { .. }
        )
    }
}

const MIGRATE: &str = "raise the workflow's version and add `Migration::";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepLost { key, new_key: Some(new) } => write!(
                f,
                "`{key}` is recorded, but the body does not ask for it, while `{new}` would run: if that is its new \
                 name, {MIGRATE}rename(\"{key}\", \"{new}\")`"
            ),
            Self::StepLost { key, new_key: None } => write!(
                f,
                "`{key}` is recorded, but the body does not ask for it: to drop it, {MIGRATE}remove(\"{key}\")`; \
                 otherwise ask for it with this key"
            ),
            Self::StepSkipped { key } => write!(
                f,
                "`{key}` is recorded, but its step is skipped now: let its condition depend only on recorded values"
            ),
            Self::QuestionLost { key } => write!(
                f,
                "`{key}` is an open question, but the body does not wait for its answer: to withdraw it, \
                 {MIGRATE}remove(\"{key}\")`"
            ),
            Self::NotReached { key, is_question, new_key, stopped_at } => {
                not_reached(f, key, *is_question, new_key.as_ref(), stopped_at)
            }
            Self::Undecodable { step, what, type_name, reason } => {
                write!(f, "the record of {what} is no longer a `{type_name}` ({reason}): ")?;
                match step {
                    Some(key) => {
                        write!(f, "{MIGRATE}transform(\"{key}\", ..)`, or let the type still accept it")
                    }
                    // Migrations change only the records of steps.
                    None => f.write_str("a migration cannot change it, so let the type still accept it"),
                }
            }
            Self::WrongType { step, given, expected: Some(expected) } => write!(
                f,
                "the value given for step `{step}` is a `{given}`, but the step returns a `{expected}`: give a value of \
                 that type"
            ),
            Self::WrongType { step, given, expected: None } => write!(
                f,
                "the value given for step `{step}` is a `{given}`, but the step's value may borrow: let its operation be \
                 called with `ResumeCheck::runs`, or build the step on the run itself"
            ),
            Self::Refused(RunError::Migration { reason, .. }) => write!(
                f,
                "the journal cannot be migrated, {reason}: add the migration with `Workflow::migration`, or correct it"
            ),
            Self::Refused(error) => error.fmt(f),
            Self::NeverEnds { polls } => write!(
                f,
                "the body was polled {polls} times and still wakes itself: let it wait only for steps, sleeps and \
                 answers of the run"
            ),
            Self::EndsDifferently { recorded, now } => {
                match recorded {
                    Some(recorded) => recorded.fmt(f)?,
                    None => f.write_str("the run had not ended")?,
                }
                write!(
                    f,
                    ", but with this code {now}; let the path through the body depend only on recorded values"
                )
            }
        }
    }
}

/// Writes the text of [`Finding::NotReached`].
fn not_reached(
    f: &mut fmt::Formatter<'_>,
    key: &Key,
    is_question: bool,
    new_key: Option<&Key>,
    stopped_at: &[String],
) -> fmt::Result {
    let kind = if is_question { "an open question" } else { "recorded" };
    write!(f, "`{key}` is {kind} but was not asked for")?;
    match (new_key, is_question) {
        (Some(new), true) => write!(
            f,
            ", while the body waits at `{new}`: if that is its new name, {MIGRATE}rename(\"{key}\", \"{new}\")`"
        ),
        (Some(new), false) => write!(
            f,
            ", while `{new}` would run: if that is its new name, {MIGRATE}rename(\"{key}\", \"{new}\")`; if `{new}` is a \
             new step, give it a value with `ResumeCheck::value` to check the rest"
        ),
        (None, _) if stopped_at.is_empty() => f.write_str(
            " before the body stopped: remove the obstacle, or, if it sleeps, set a later time with `ResumeCheck::at`, \
             to check the rest",
        ),
        (None, _) => write!(
            f,
            " before the body stopped at {}: give a value there with `ResumeCheck::value` to check the rest",
            quoted(stopped_at)
        ),
    }
}

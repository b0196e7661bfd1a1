//! The decisions of the library in cases in which several behaviours would be correct. The model takes each of them from
//! here, so another decision changes only this file.

use std::fmt::Debug;

use awaitly::RunError;
use awaitly::event::EventKind;
use awaitly::saga::SagaError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::{Fault, Fruit};
use crate::part::Ending;
use crate::value::{Kept, Value, digest, typed};

/// Returns whether a journal can keep the value of a step: its JSON form must decode to the value. Otherwise the step
/// fails, once, and its run fails too, unless the body handles the failure.
pub(crate) fn keeps(value: &Value) -> Kept {
    match value {
        Value::Number(_) => Kept::Yes,
        Value::Huge => Kept::No,
        value => typed!(*value, value => comes_back(&value)),
    }
}

fn comes_back<T: Serialize + DeserializeOwned + Debug>(value: &T) -> Kept {
    let decoded = serde_json::to_string(value).and_then(|text| serde_json::from_str::<T>(&text));
    if decoded.is_ok_and(|decoded| digest(&decoded) == digest(value)) { Kept::Yes } else { Kept::No }
}

/// Returns whether a journal can keep the result of a body. Otherwise the run fails.
pub(crate) fn keeps_ending(ending: Ending) -> Kept {
    comes_back(&Fruit::new(0, ending))
}

/// Returns whether a body may handle the fault and continue: it is a failure that neither ends nor pauses the run.
pub(crate) const fn is_failure(fault: &Fault) -> bool {
    match fault {
        Fault::Own(..) => true,
        Fault::Run(error) => error.is_recorded() || is_unkept(error),
    }
}

const fn is_unkept(error: &RunError) -> bool {
    matches!(error, RunError::Unencodable { .. } | RunError::TooLarge { .. })
}

/// Returns the error that a body passes on from a saga. A saga that pauses in its undo passes on that it waits.
impl From<SagaError<Self>> for Fault {
    fn from(error: SagaError<Self>) -> Self {
        error.into_error()
    }
}

/// Returns whether the run waits.
pub(crate) const fn waits(fault: &Fault) -> bool {
    matches!(fault, Fault::Run(RunError::Waiting { .. }))
}

/// Returns whether the fault refuses a cancellation, which leaves the run unchanged.
pub(crate) const fn is_refused(fault: &Fault) -> bool {
    matches!(fault, Fault::Run(RunError::TooLateToCancel { .. }))
}

/// Returns whether the fault comes from a failing store or a lost lease.
pub(crate) const fn is_of_store(fault: &Fault) -> bool {
    matches!(fault, Fault::Run(RunError::Store(_)))
}

/// The meaning of an event for a step or a run.
pub(crate) enum Says<'a> {
    Began,
    /// A step ended, with its error if it failed.
    Ended(Option<&'a str>),
    /// A step waits, so the run waits too.
    Waits,
    RunBegan,
    RunEnded,
    RunWaits,
    Nothing,
}

pub(crate) fn says(kind: &EventKind) -> Says<'_> {
    match kind {
        EventKind::StepStarted { .. } => Says::Began,
        EventKind::StepFailed { error, .. } => Says::Ended(Some(error)),
        EventKind::StepSucceeded { .. } | EventKind::StepAborted { .. } | EventKind::StepReused { .. } => {
            Says::Ended(None)
        }
        EventKind::StepWaiting { .. } => Says::Waits,
        EventKind::RunWaiting { .. } => Says::RunWaits,
        EventKind::RunStarted { .. } => Says::RunBegan,
        EventKind::RunSucceeded { .. }
        | EventKind::RunFailed { .. }
        | EventKind::RunCancelled { .. }
        | EventKind::RunInterrupted { .. } => Says::RunEnded,
        EventKind::StepMissed { .. }
        | EventKind::StepRecorded { .. }
        | EventKind::StepSkipped { .. }
        | EventKind::RetryScheduled { .. }
        | EventKind::RetriesExhausted { .. }
        | EventKind::AttemptTimedOut { .. }
        | EventKind::ScopeStarted { .. }
        | EventKind::ScopeEnded { .. }
        | EventKind::SagaStarted { .. }
        | EventKind::SagaSucceeded { .. }
        | EventKind::SagaFailed { .. }
        | EventKind::UndoStarted { .. }
        | EventKind::UndoEnded { .. }
        | EventKind::HookPassed { .. }
        | EventKind::HookRefused { .. } => Says::Nothing,
        // The event of a run whose future was dropped.
        other if format!("{other:?}").starts_with("RunAborted") => Says::RunEnded,
        _ => Says::Nothing,
    }
}

/// Returns whether the error of a step is not a failure, because it ends or pauses the run.
pub(crate) fn is_no_failure(error: &str) -> bool {
    error.starts_with("the run waits at") || error.starts_with("the run was cancelled")
}

//! What the library has decided where several answers would do. Everything that the model expects because of such a
//! decision stands here, so that another decision changes this file alone.

use std::fmt::Debug;

use awaitly::RunError;
use awaitly::event::EventKind;
use awaitly::saga::SagaError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::{Fault, Fruit};
use crate::part::Ending;
use crate::value::{Kept, Value, digest, typed};

/// Whether a journal can keep the value of a step: JSON has to give it back. If not, the step has failed, once, and so has
/// its run unless the body handles it.
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

/// Whether the result of a body can be kept. If not, the run has failed.
pub(crate) fn keeps_ending(ending: Ending) -> Kept {
    comes_back(&Fruit::new(0, ending))
}

/// Whether a body may handle the fault and go on: it is a failure, and neither ends nor pauses the run.
pub(crate) const fn is_failure(fault: &Fault) -> bool {
    match fault {
        Fault::Own(..) => true,
        Fault::Run(error) => error.is_recorded() || is_unkept(error),
    }
}

const fn is_unkept(error: &RunError) -> bool {
    matches!(error, RunError::Unencodable { .. } | RunError::TooLarge { .. })
}

/// What a body hands on of the error of a saga. A saga that pauses in its undo has to hand on that it waits: where its error
/// tells that, in place of the error that it is undone for, this is where to ask.
impl From<SagaError<Self>> for Fault {
    fn from(error: SagaError<Self>) -> Self {
        error.into_error()
    }
}

/// Whether the run waits with this fault.
pub(crate) const fn waits(fault: &Fault) -> bool {
    matches!(fault, Fault::Run(RunError::Waiting { .. }))
}

/// Whether a cancellation is refused with this fault, which leaves the run as it was.
pub(crate) const fn is_refused(fault: &Fault) -> bool {
    matches!(fault, Fault::Run(RunError::TooLateToCancel { .. }))
}

/// Whether the fault comes from the store, which was made to fail, or from a lease that was taken away.
pub(crate) const fn is_of_store(fault: &Fault) -> bool {
    matches!(fault, Fault::Run(RunError::Store(_)))
}

/// What an event says of a step or a run.
pub(crate) enum Says<'a> {
    Began,
    /// With the error of a failure.
    Ended(Option<&'a str>),
    /// A step waits, and with it the run.
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
        // An event of a dropped run, which today's library does not have.
        other if format!("{other:?}").starts_with("RunAborted") => Says::RunEnded,
        _ => Says::Nothing,
    }
}

/// Whether the error of a failed step is not a failure, but ends or pauses the run.
pub(crate) fn is_no_failure(error: &str) -> bool {
    error.starts_with("the run waits at") || error.starts_with("the run was cancelled")
}

//! The undo of steps, for `awaitly-saga`.

use std::time::Duration;

use crate::error::RunError;
use crate::event::{EventKind, ScopeKind};
use crate::journal::{Key, Outcome, Payload};
use crate::run::{Mode, Run};
pub use crate::several::scope::Scope;
pub use crate::shared::{OnlyRecorded, Undoing};
pub use crate::step::Unkept;
use crate::step::{Invoke, Keep, Step};

/// The reason why a run does not continue, if its body is not the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    /// The store failed, or two steps have one key. This execution cannot continue.
    Interrupted,
    /// The run was cancelled.
    Cancelled,
    /// A step waits.
    Waiting,
}

/// Returns the reason why the run does not continue, if there is one.
#[must_use]
pub fn stopping<M: Mode>(run: &Run<M>) -> Option<Stopping> {
    let shared = run.shared()?;
    let stop = shared.stopping.stop();
    if stop.fatal.is_some() {
        Some(Stopping::Interrupted)
    } else if stop.undo_waits() {
        Some(Stopping::Waiting)
    } else if stop.cancelled || shared.stopping.is_cancelled() {
        Some(Stopping::Cancelled)
    } else {
        stop.is_waiting().then_some(Stopping::Waiting)
    }
}

/// Returns the error of an undo that pauses, because the run was interrupted or waits at `step`.
#[must_use]
pub fn pause<M: Mode>(run: &Run<M>, step: &Key) -> RunError {
    let stop = run.shared().map(|shared| shared.stopping.stop()).unwrap_or_default();
    let waiting = || stop.waits.iter().find(|waits| waits.in_undo).map(|waits| waits.step.clone());
    stop.fatal
        .clone()
        .unwrap_or_else(|| RunError::Waiting { step: waiting().unwrap_or_else(|| step.clone()) })
}

/// Returns the cancellation that followed a wait of the body, if there was one. It replaces the wait, because a run
/// that undoes its work does not wait.
#[must_use]
pub fn cancelled_wait<M: Mode>(run: &Run<M>) -> Option<RunError> {
    let shared = run.shared()?;
    let first = shared.stopping.stop().waits.into_iter().next()?;
    let cancelled = RunError::Cancelled { step: Some(first.step) };
    shared.stopping.knows_of_cancel().then(|| {
        shared.stopping.note_pause(&cancelled);
        cancelled
    })
}

/// Notes that the body no longer waits at these steps, because a concurrent step failed.
pub fn forget_waits<M: Mode>(run: &Run<M>, steps: &[Key]) {
    if let Some(shared) = run.shared() {
        shared.stopping.forget_waits(|waits| steps.contains(&waits.step));
    }
}

/// Notes the end of an undo: a retry of the run drops the records under these keys.
pub fn ended<M: Mode>(run: &Run<M>, undoing: Undoing, keys: Vec<Key>) {
    if let Some(shared) = run.shared() {
        shared.stopping.note_undoing(undoing, keys);
    }
}

/// Returns the recorded steps on which the run fails, as far as the library knows them.
#[must_use]
pub fn failed_on<M: Mode>(run: &Run<M>) -> Vec<Key> {
    run.shared().map(|shared| shared.stopping.stop().failed_on).unwrap_or_default()
}

/// Notes that an undo begins. A run that was opened only for the undo is running from here on, so that it is due again
/// if this process dies.
///
/// # Errors
/// Returns [`RunError::Store`] if the store fails. This stops the run.
pub async fn begins<M: Mode>(run: &Run<M>) -> Result<(), RunError> {
    match run.shared() {
        Some(shared) => shared.journal.wake_up().await.map_err(|error| shared.stopping.stopped(error.into())),
        None => Ok(()),
    }
}

/// Stops the run permanently with `error`, and returns the error.
#[must_use]
pub fn stop<M: Mode>(run: &Run<M>, error: RunError) -> RunError {
    match run.shared() {
        Some(shared) => shared.stopping.stopped(error),
        None => error,
    }
}

/// Notes that an earlier execution began to undo the run because of a cancellation.
pub fn cancelled<M: Mode>(run: &Run<M>) {
    if let Some(shared) = run.shared() {
        shared.stopping.note_cancelled();
    }
}

/// Returns whether an earlier execution may have begun.
#[must_use]
pub fn is_resumed<M: Mode>(run: &Run<M>) -> bool {
    run.shared().is_some_and(|shared| shared.keys.is_resumed())
}

/// Returns the key and the attempt of the recorded step whose operation builds the steps here, if there is one.
#[must_use]
pub fn builder<M: Mode>(run: &Run<M>) -> Option<(Key, u32)> {
    run.shared()?.execution.builder()
}

/// Sends an event to the observers.
pub fn tell<M: Mode>(run: &Run<M>, kind: impl FnOnce() -> EventKind) {
    if let Some(shared) = run.shared() {
        shared.tell(kind);
    }
}

/// Returns the time since this execution of the run began, or zero if the run has no observers.
#[must_use]
pub fn elapsed<M: Mode>(run: &Run<M>) -> Duration {
    let observed = run.shared().filter(|shared| shared.watchers.is_observed());
    observed.map_or(Duration::ZERO, |shared| shared.time.elapsed())
}

/// Sends the event for the beginning of a list of steps now, and for its end when the returned value is dropped.
#[must_use]
pub fn scope<'r, M: Mode>(run: &'r Run<M>, base: &Key) -> Option<Scope<'r>> {
    Scope::begin(run, base, ScopeKind::Each)
}

/// Builds a step of a list with this key, which begins with the result of [`base`](super::base).
pub fn item<F, A, M: Mode>(
    run: &Run<M>,
    name: Key,
    key: Key,
    operation: F,
    attempts: A,
) -> Step<'_, F, A, M::Keep> {
    Step::assemble(run.frame_with_key(name, || key), operation, attempts, ())
}

/// Returns the step with a shield: it and the steps that its operation builds run and are recorded even if the run was
/// cancelled or is out of time.
pub fn shielded<F, A, R, G>(step: Step<'_, F, A, R, G>) -> Step<'_, F, A, R, G> {
    step.shielded()
}

/// Returns the key of a recorded step, or the name of an unrecorded one.
pub fn key_of<F, A, R, G>(step: &Step<'_, F, A, R, G>) -> Key {
    step.frame().label().clone()
}

/// Returns whether the journal holds an outcome of the step.
pub fn is_known<F, A, R, G>(step: &Step<'_, F, A, R, G>) -> bool {
    step.frame().is_known()
}

/// Returns the journal's value under `key`, if it was not handed out yet.
#[must_use]
pub fn recorded<M: Mode>(run: &Run<M>, key: &Key) -> Option<Payload> {
    match run.shared()?.keys.peek(key)? {
        Outcome::Value(payload) => Some(payload),
        Outcome::Failed(_) | Outcome::Stopped(_) => None,
    }
}

/// Returns the journal's value for the step, if it was not handed out yet.
#[must_use]
pub fn peek<F, A, R, G>(step: &Step<'_, F, A, R, G>) -> Option<A::Value>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
{
    R::decode(&step.frame().peek()?)?.ok()?.ok()
}

/// Runs `body`, which can find the recorded steps of the run and execute no others.
pub fn only_recorded<M: Mode, Fut>(run: &Run<M>, body: Fut) -> OnlyRecorded<Fut> {
    OnlyRecorded::new(run.shared().map(|shared| shared.execution), body)
}

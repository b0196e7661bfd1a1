//! The undo of steps, for `awaitly-saga`.

use std::future::Future;
use std::time::Duration;

use crate::error::RunError;
use crate::event::EventKind;
use crate::journal::{Key, Outcome, Payload};
use crate::run::{Mode, Run};
use crate::several::Each;
use crate::shared::{OnlyRecorded, Undone};
use crate::step::Step;
pub use crate::step::undo::{Compensate, Undo};

/// Returns the step with `undo` as the part that undoes it.
pub fn undoable<F, A, R, G, U>(step: Step<'_, F, A, R, G>, undo: U) -> Step<'_, F, A, R, G, U> {
    step.map_undo(|()| undo)
}

/// Returns the list with a clone of `undo` as the part that undoes an item.
pub fn undoable_each<M, Item, F, A, R, G, U>(
    each: Each<'_, M, Item, F, A, R, G>,
    undo: U,
) -> Each<'_, M, Item, F, A, R, G, U> {
    each.map_undo(|()| undo)
}

/// Returns whether the run does not continue in this execution: its store failed, two steps have one key, or a step
/// waits. A cancellation ends a wait, except the wait of a compensation.
#[must_use]
pub fn pauses<M: Mode>(run: &Run<M>) -> bool {
    run.shared().is_some_and(|shared| {
        let stop = shared.stopping.stop();
        let cancelled = stop.cancelled || shared.stopping.is_cancelled();
        stop.fatal.is_some() || stop.undo_waits() || (stop.is_waiting() && !cancelled)
    })
}

/// Returns whether the run was cancelled.
#[must_use]
pub fn is_cancelled<M: Mode>(run: &Run<M>) -> bool {
    run.shared().is_some_and(|shared| shared.stopping.stop().cancelled || shared.stopping.is_cancelled())
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

/// Notes that all steps of a saga were undone: a retry of the run drops the records under these keys, and begins the
/// saga again.
pub fn undone<M: Mode>(run: &Run<M>, keys: Vec<Key>) {
    end(run, Undone::All, keys);
}

/// Notes that compensations failed: a retry of the run drops the records under these keys, and continues the undo.
pub fn gave_up<M: Mode>(run: &Run<M>, keys: Vec<Key>) {
    end(run, Undone::InPart, keys);
}

fn end<M: Mode>(run: &Run<M>, undone: Undone, keys: Vec<Key>) {
    if let Some(shared) = run.shared() {
        shared.stopping.note_undone(undone, keys);
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
pub fn note_cancelled<M: Mode>(run: &Run<M>) {
    if let Some(shared) = run.shared() {
        shared.stopping.note_cancelled();
    }
}

/// Returns whether an earlier execution may have begun.
#[must_use]
pub fn is_resumed<M: Mode>(run: &Run<M>) -> bool {
    run.shared().is_some_and(|shared| shared.keys.is_resumed())
}

/// Returns the key and the attempt of the recorded step whose operation this thread polls, if that step belongs to this
/// execution of `run`.
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

/// Builds a step whose key is `key`, even if the operation of another step builds it.
pub fn keyed<F, M: Mode>(run: &Run<M>, key: Key, operation: F) -> Step<'_, F, (), M> {
    Step::new(run.frame_with_key(key.clone(), || key), operation)
}

/// Returns the step with `attempts`, which determines the way in which the operation is called:
/// [`Invoke`](crate::step::Invoke) lists the possible types.
pub fn with_attempts<F, A, R>(step: Step<'_, F, (), R>, attempts: A) -> Step<'_, F, A, R> {
    step.map_attempts(|()| attempts)
}

/// Returns the step with a shield. The step, and the steps that its operation builds, are executed and recorded even if
/// the run was cancelled or its deadline has passed.
pub fn shielded<F, A, R, G, U>(step: Step<'_, F, A, R, G, U>) -> Step<'_, F, A, R, G, U> {
    step.shielded()
}

/// Returns the key of a recorded step, or the name of an unrecorded one.
pub fn key_of<F, A, R, G, U>(step: &Step<'_, F, A, R, G, U>) -> Key {
    step.frame().label().clone()
}

/// Returns whether the journal holds an outcome of the step.
pub fn is_known<F, A, R, G, U>(step: &Step<'_, F, A, R, G, U>) -> bool {
    step.frame().is_known()
}

/// Returns the value that the journal holds under `key`, unless a step has received it already.
#[must_use]
pub fn recorded<M: Mode>(run: &Run<M>, key: &Key) -> Option<Payload> {
    match run.shared()?.keys.peek(key)? {
        Outcome::Value(payload) => Some(payload),
        Outcome::Failed(_) | Outcome::Stopped(_) => None,
    }
}

/// Runs `body`, which can find the recorded steps of the run and execute no others.
pub fn only_recorded<M: Mode, Fut: Future>(
    run: &Run<M>,
    body: Fut,
) -> impl Future<Output = Fut::Output> + use<M, Fut> {
    OnlyRecorded::new(run.shared().map(|shared| shared.execution), body)
}

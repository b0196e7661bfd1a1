//! What a crate needs that undoes steps, as `awaitly-saga` does. Not for use by hand, and free to change.

use std::time::Duration;

use super::{Mode, Run};
use crate::error::RunError;
use crate::event::{EventKind, ScopeKind};
use crate::journal::{Key, Outcome, Payload};
pub use crate::several::{AllEnd, Scope};
use crate::shared::OnlyRecorded;
pub use crate::shared::Undoing;
pub use crate::step::Unkept;
use crate::step::{Invoke, Keep, Step};

/// Why a run does not go on, where that is not of its body's making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    /// The store failed, or a key was used twice: nothing more can be done in this execution.
    Interrupted,
    /// It was cancelled.
    Cancelled,
    /// A step waits.
    Waiting,
}

/// Why the run does not go on, if it does not.
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

/// Returns the error that stands for a run that cannot go on with an undo: it was interrupted, or waits at `step`.
#[must_use]
pub fn pause<M: Mode>(run: &Run<M>, step: &Key) -> RunError {
    let stop = run.shared().map(|shared| shared.stopping.stop()).unwrap_or_default();
    let waiting = || stop.waits.iter().find(|waits| waits.in_undo).map(|waits| waits.step.clone());
    stop.fatal
        .clone()
        .unwrap_or_else(|| RunError::Waiting { step: waiting().unwrap_or_else(|| step.clone()) })
}

/// Returns the cancellation that came after the body had found that it waits, if one did. It stands in the place of the
/// wait then: what is undone does not wait.
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

/// The body does not wait at these steps any more, because a step beside them failed.
pub fn forget_waits<M: Mode>(run: &Run<M>, steps: &[Key]) {
    if let Some(shared) = run.shared() {
        shared.stopping.forget_waits(|waiting| steps.contains(waiting));
    }
}

/// An undoing has come to an end: these are the keys whose records a retry of the run drops.
pub fn ended<M: Mode>(run: &Run<M>, undoing: Undoing, keys: Vec<Key>) {
    if let Some(shared) = run.shared() {
        shared.stopping.note_undoing(undoing, keys);
    }
}

/// The recorded steps that the run fails on, as far as is known.
#[must_use]
pub fn failed_on<M: Mode>(run: &Run<M>) -> Vec<Key> {
    run.shared().map(|shared| shared.stopping.stop().failed_on).unwrap_or_default()
}

/// Something is about to be undone: a run that was opened only for that is running from here on, so that it is due
/// again where this process dies.
///
/// # Errors
/// [`RunError::Store`] where the store fails, which stops the run.
pub async fn begins<M: Mode>(run: &Run<M>) -> Result<(), RunError> {
    match run.shared() {
        Some(shared) => shared.journal.wake_up().await.map_err(|error| shared.stopping.stopped(error.into())),
        None => Ok(()),
    }
}

/// Stops the run for good with `error`, and hands it back.
#[must_use]
pub fn stop<M: Mode>(run: &Run<M>, error: RunError) -> RunError {
    match run.shared() {
        Some(shared) => shared.stopping.stopped(error),
        None => error,
    }
}

/// What is undone is undone because the run was cancelled, by an execution before this one.
pub fn cancelled<M: Mode>(run: &Run<M>) {
    if let Some(shared) = run.shared() {
        shared.stopping.note_cancelled();
    }
}

/// Whether an execution before this one has recorded anything.
#[must_use]
pub fn is_resumed<M: Mode>(run: &Run<M>) -> bool {
    run.shared().is_some_and(|shared| shared.keys.is_resumed())
}

/// The recorded step whose operation builds what is built here, if one does: its key within the run, and the attempt.
#[must_use]
pub fn builder<M: Mode>(run: &Run<M>) -> Option<(Key, u32)> {
    run.shared()?.execution.builder()
}

/// Tells those who watch.
pub fn tell<M: Mode>(run: &Run<M>, kind: impl FnOnce() -> EventKind) {
    if let Some(shared) = run.shared() {
        shared.tell(kind);
    }
}

/// The time since this execution of the run began; nothing where nobody watches.
pub fn elapsed<M: Mode>(run: &Run<M>) -> Duration {
    let observed = run.shared().filter(|shared| shared.watchers.is_observed());
    observed.map_or(Duration::ZERO, |shared| shared.time.elapsed())
}

/// Takes `name` for a list of steps, whose keys begin with what comes back.
#[must_use]
pub fn base<M: Mode>(run: &Run<M>, name: &Key) -> Key {
    run.take_base(name)
}

/// Tells of a list of steps, if an observer watches: of its beginning now, and of its end when the answer is dropped.
#[must_use]
pub fn scope<'r, M: Mode>(run: &'r Run<M>, base: &Key) -> Option<Scope<'r>> {
    Scope::begin(run, base, ScopeKind::Each)
}

/// The step of a list with that key, which begins with what [`base`] gave.
pub fn item<F, A, M: Mode>(
    run: &Run<M>,
    name: Key,
    key: Key,
    operation: F,
    attempts: A,
) -> Step<'_, F, A, M::Keep> {
    Step::assemble(run.frame_with_key(name, || key), operation, attempts, ())
}

/// The step, run and recorded also where the run was cancelled or is out of time.
pub fn shielded<F, A, R, G>(step: Step<'_, F, A, R, G>) -> Step<'_, F, A, R, G> {
    step.shielded()
}

/// What the step is recorded under, or its name where it is not recorded.
pub fn key_of<F, A, R, G>(step: &Step<'_, F, A, R, G>) -> Key {
    step.frame().label().clone()
}

/// Whether the journal holds an outcome for the step.
pub fn is_known<F, A, R, G>(step: &Step<'_, F, A, R, G>) -> bool {
    step.frame().is_known()
}

/// What the journal holds under `key`, if that is a value that was not handed out yet.
#[must_use]
pub fn recorded<M: Mode>(run: &Run<M>, key: &Key) -> Option<Payload> {
    match run.shared()?.keys.peek(key)? {
        Outcome::Value(payload) => Some(payload),
        Outcome::Failed(_) | Outcome::Stopped(_) => None,
    }
}

/// The value that the journal holds for the step.
#[must_use]
pub fn peek<F, A, R, G>(step: &Step<'_, F, A, R, G>) -> Option<A::Value>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
{
    R::decode(&step.frame().peek()?)?.ok()?.ok()
}

/// Lets `body` find the recorded steps of the run, and execute no other one.
pub fn only_recorded<M: Mode, Fut>(run: &Run<M>, body: Fut) -> OnlyRecorded<Fut> {
    OnlyRecorded::new(run.shared().map(|shared| shared.execution), body)
}

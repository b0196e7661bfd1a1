use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::lock::lock;
use super::nested::{ExecutionId, OtherRun};
use super::stop::{Stop, Undone, Waits};
use crate::error::RunError;
use crate::journal::{Key, Timestamp};

/// The failures, waits and cancellation of a run, which decide if it continues.
pub(crate) struct Stopping {
    execution: ExecutionId,
    token: Option<CancellationToken>,
    /// Whether the run is cancelled at its first unrecorded step. Recorded steps are found before that, so that the
    /// body knows which steps to undo.
    cancel_beyond: bool,
    /// Whether the body declared that it is too late to cancel the run.
    too_late: AtomicBool,
    stop: Mutex<Stop>,
    /// Whether the next step has to check `stop`.
    troubled: AtomicBool,
    /// Whether a step waits in a task that the body spawned.
    detached_wait: AtomicBool,
}

impl Stopping {
    pub(super) fn new(execution: ExecutionId, token: Option<CancellationToken>, cancel_beyond: bool) -> Self {
        Self {
            execution,
            token,
            cancel_beyond,
            too_late: AtomicBool::new(false),
            stop: Mutex::default(),
            troubled: AtomicBool::new(false),
            detached_wait: AtomicBool::new(false),
        }
    }

    /// Returns a copy of the reason why the run stopped.
    pub(crate) fn stop(&self) -> Stop {
        lock(&self.stop).clone()
    }

    #[inline]
    fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }

    /// Makes the next step check `stop`.
    fn trouble(&self) {
        self.troubled.store(true, Ordering::Relaxed);
    }

    // Failures.

    /// Refuses if the run cannot continue.
    #[inline]
    pub(crate) fn may_go_on(&self) -> Result<(), RunError> {
        if self.is_troubled() { self.fatal() } else { Ok(()) }
    }

    #[cold]
    fn fatal(&self) -> Result<(), RunError> {
        lock(&self.stop).fatal.clone().map_or(Ok(()), Err)
    }

    /// Stops the run permanently with `error`, and returns the error.
    pub(crate) fn stopped(&self, error: RunError) -> RunError {
        lock(&self.stop).fatal.get_or_insert_with(|| error.clone());
        self.trouble();
        error
    }

    /// Notes that a step was built, so that a later failure is independent of the earlier ones.
    #[inline]
    pub(crate) fn built(&self) {
        if self.is_troubled() {
            lock(&self.stop).stale = true;
        }
    }

    /// Notes that a step failed, was refused, or could not begin. `key` is the key of a recorded failure, which a retry
    /// of the run drops.
    pub(crate) fn note_failure(&self, key: Option<&Key>) {
        self.execution.forget_other_runs();
        if lock(&self.stop).note_failure(key) {
            self.trouble();
        }
    }

    /// Notes the end of an undo: a retry of the run drops these keys.
    pub(crate) fn note_undone(&self, undone: Undone, keys: Vec<Key>) {
        let cancelled = self.is_cancelled();
        lock(&self.stop).note_undone(undone, keys, cancelled);
        self.trouble();
    }

    /// Notes that the operation of a step panicked.
    pub(crate) fn note_panic(&self, key: &Key) {
        lock(&self.stop).panicked.get_or_insert_with(|| key.clone());
    }

    // Waits.

    /// Returns whether a step waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_troubled() && lock(&self.stop).is_waiting()
    }

    /// Notes that the run waits at a step.
    pub(crate) fn note_waiting(&self, waits: Waits) {
        lock(&self.stop).note_waiting(waits);
        self.trouble();
    }

    /// Notes that the wait at `step` ends at `wake` at the latest.
    pub(crate) fn wake_at(&self, step: &Key, wake: Timestamp) {
        lock(&self.stop).wake_at(step, wake);
    }

    /// Returns the number of waits that this execution has noted so far.
    #[inline]
    pub(crate) fn noted_waits(&self) -> u64 {
        if self.is_troubled() { lock(&self.stop).noted } else { 0 }
    }

    /// Notes that the body no longer waits at the steps for which `ended` returns `true`.
    pub(crate) fn forget_waits(&self, ended: impl Fn(&Waits) -> bool) {
        if self.is_troubled() {
            lock(&self.stop).waits.retain(|waits| !ended(waits));
        }
    }

    /// Returns whether the run still waits at `step`.
    pub(crate) fn waits_at(&self, step: &Key) -> bool {
        lock(&self.stop).waits.iter().any(|waits| waits.step == *step)
    }

    /// Returns the first step at which the run waits inside the operation of `step`.
    pub(crate) fn waits_within(&self, step: &Key) -> Option<Key> {
        if !self.is_troubled() {
            return None;
        }
        let stop = lock(&self.stop);
        stop.waits.iter().map(|waits| &waits.step).find(|waiting| waiting.is_within(step)).cloned()
    }

    /// Notes the end of another run that the body called.
    pub(crate) fn note_other_run(&self, other: OtherRun) {
        if other == OtherRun::Paused {
            lock(&self.stop).other_run = true;
            self.trouble();
        }
    }

    /// Notes that a step ends in `error`, which also ends the run unless the body handles the error.
    pub(crate) fn note_pause(&self, error: &RunError) {
        match error {
            // A body that may use only recorded steps is refused all others, whether or not the run was cancelled.
            RunError::Cancelled { step } if !self.execution.is_only_recorded() => {
                let mut stop = lock(&self.stop);
                stop.cancelled = true;
                stop.cancelled_at = stop.cancelled_at.take().or_else(|| step.clone());
                self.trouble();
            }
            RunError::Waiting { step } => {
                let is_known = self.execution.note_wait(step);
                self.detached_wait.fetch_or(!is_known, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Returns whether a spawned task of the body waits without the knowledge of an operation.
    pub(crate) fn has_detached_wait(&self) -> bool {
        self.detached_wait.load(Ordering::Relaxed)
    }

    // Cancellation.

    /// Returns the token that cancels the run.
    pub(crate) const fn token(&self) -> Option<&CancellationToken> {
        self.token.as_ref()
    }

    /// Returns the token that cancels the run, unless it is too late to cancel.
    pub(crate) fn live_token(&self) -> Option<&CancellationToken> {
        self.token().filter(|_| !self.is_too_late_to_cancel())
    }

    /// Cancels the run, if it has a store.
    pub(crate) fn cancel(&self) {
        if let Some(token) = self.token() {
            token.cancel();
        }
    }

    /// Returns whether the token is cancelled and it is not too late to cancel.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.live_token().is_some_and(CancellationToken::is_cancelled)
    }

    /// Returns whether the run was opened because a cancellation had been requested.
    pub(crate) const fn is_to_be_cancelled(&self) -> bool {
        self.cancel_beyond
    }

    /// Returns whether this execution knows of a request to cancel the run.
    pub(crate) fn knows_of_cancel(&self) -> bool {
        self.is_to_be_cancelled() || self.is_cancelled() || lock(&self.stop).cancelled
    }

    /// Notes that an earlier execution began to undo the run because of a cancellation.
    pub(crate) fn note_cancelled(&self) {
        self.cancel();
        lock(&self.stop).cancelled = true;
    }

    /// Refuses later cancellations. An earlier request still ends the run.
    pub(crate) fn close_to_cancel(&self) {
        self.too_late.store(true, Ordering::Relaxed);
    }

    /// Returns whether it is too late to cancel the run.
    pub(crate) fn is_too_late_to_cancel(&self) -> bool {
        self.too_late.load(Ordering::Relaxed)
    }
}

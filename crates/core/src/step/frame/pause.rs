//! Pauses: the events that end or interrupt the run, but are no failure of the step.
//!
//! A run can be cancelled, run out of time, wait, or stop because its store failed. The operation of a step receives
//! such a pause as the error of an inner step, and usually returns it inside its own error type. If the library took
//! the pause for a failure of the outer step, it would record the failure, a breaker would count it, and a fallback
//! would replace it. Every failed attempt is therefore checked here first. All other parts (recording, guards,
//! fallbacks, events, lists, sagas) see a pause as [`Error::Run`], never as the operation's own error.

use super::{Detail, Frame};
use crate::error::{Error, RunError};
use crate::event::EventKind;
use crate::journal::Key;
use crate::shared::{LOOK_AGAIN, OtherRun, Shared, Waits};
use crate::step::Ended;

impl Frame<'_> {
    /// Replaces the failure of an attempt by the pause that caused it, if there is one.
    #[inline]
    pub(in crate::step) fn classify<T, E>(&self, ended: &mut Ended<T, E>) {
        match ended {
            Err(Error::Run(error)) if error.pauses() => {}
            Err(failure) => {
                if let Some(pause) = self.pause() {
                    *failure = Error::Run(pause);
                }
            }
            Ok(_) => {}
        }
    }

    /// Returns the reason why the run does not continue, if it explains the failure of the attempt.
    #[cold]
    fn pause(&self) -> Option<RunError> {
        let run = self.run?;
        if let Err(fatal) = run.stopping.may_go_on() {
            return Some(fatal);
        }
        if let Some(ended) = run.ended(self.label(), self.attempt).filter(|_| !self.is_shielded()) {
            return Some(ended);
        }
        let step = self.waits_at(run)?;
        Some(RunError::Waiting { step })
    }

    /// Returns the step at which the run waits, if this wait made the attempt fail.
    fn waits_at(&self, run: &Shared) -> Option<Key> {
        if let Some(inside) = run.stopping.waits_within(self.label()) {
            return Some(inside);
        }
        let Some(Detail { noted, .. }) = self.detail.as_deref() else {
            // The step has no notes, so the run's state decides.
            return run.stopping.is_waiting().then(|| self.label().clone());
        };
        if run.stopping.has_detached_wait() && run.stopping.is_waiting() {
            return Some(self.label().clone());
        }
        if let Some(step) = noted.wait.as_ref().filter(|step| run.stopping.waits_at(step)) {
            return Some(step.clone());
        }
        if noted.other == Some(OtherRun::Paused) {
            let (step, in_undo) = (self.label().clone(), self.is_shielded());
            let wake = Some(run.time.stamp().after(LOOK_AGAIN));
            run.stopping.note_waiting(Waits { wake, in_undo, ..Waits::at(step.clone()) });
            return Some(step);
        }
        None
    }

    /// Returns whether `error` ends or pauses the run, by its nature or because the run cannot continue.
    pub(in crate::step) fn is_pause(&self, error: &RunError) -> bool {
        error.pauses() || self.run.is_some_and(|run| run.stopping.may_go_on().is_err())
    }

    /// Ends the step in `error`, which ends or pauses the run.
    #[cold]
    pub(crate) fn paused(&mut self, error: &RunError) {
        let attempt = self.attempt;
        let was_in_flight = self.detail.as_mut().is_some_and(|detail| std::mem::take(&mut detail.in_flight));
        if was_in_flight {
            self.tell(|step| match error {
                RunError::Waiting { .. } => EventKind::StepWaiting { step },
                _ => EventKind::StepAborted { step, attempt, duration: self.duration() },
            });
        }
        self.note_pause(error);
    }

    /// Notes that the step ends in `error`, for the run and for the operation that polls the step.
    pub(crate) fn note_pause(&self, error: &RunError) {
        if let Some(run) = self.run.filter(|_| error.pauses()) {
            run.stopping.note_pause(error);
        }
    }

    /// Returns whether the attempt failed because it called another run that was cancelled. This is a failure, but it
    /// is not recorded, because a retry of this run has to call the other run again.
    pub(in crate::step) fn failed_by_other_run(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.noted.other == Some(OtherRun::Cancelled))
    }

    /// Clears the waits inside the step, because a step with a value does not wait.
    #[cold]
    pub(super) fn forget_waits(&self) {
        if let Some(run) = self.run {
            let label = self.label();
            run.stopping.forget_waits(|waits| waits.step.is_within(label));
        }
    }
}

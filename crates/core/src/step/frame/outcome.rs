//! The outcome: telling of it, recording it, and the hook after it.

use std::fmt;

use super::Frame;
use crate::error::RunError;
use crate::event::{EventKind, Hook, RecordedKind};
use crate::guard::Refusal;
use crate::journal::{EncodeError, Outcome, Payload, Record};
use crate::run::{Hooked, Shared, Writing};
use crate::step::Place;
use crate::store::{OnRecorded, StoreError};

impl Frame<'_> {
    #[inline]
    pub(in crate::step) fn succeeded(&mut self) {
        if let Some(detail) = &mut self.detail {
            detail.in_flight = false;
            let attempt = self.attempt;
            self.tell(|step| EventKind::StepSucceeded { step, attempt, duration: self.duration() });
        }
    }

    pub(in crate::step) fn failed(&mut self, error: &dyn fmt::Display, max_attempts: u32) {
        let attempt = self.attempt;
        tracing::debug!(step = %self.name, attempt, %error, "the step failed");
        if let Some(detail) = &mut self.detail {
            detail.in_flight = false;
            let duration = self.duration();
            if max_attempts > 1 {
                self.tell(|step| {
                    let error = error.to_string();
                    EventKind::RetriesExhausted { step, attempt, duration, error }
                });
            }
            self.tell(|step| {
                let error = error.to_string();
                EventKind::StepFailed { step, attempt, duration, error }
            });
        }
        self.note_failure();
    }

    /// The step failed, now or before: where that is recorded, a retry of the run drops it.
    pub(super) fn note_failure(&self) {
        if let Some(run) = self.run {
            let recorded = self.is_recorded() && !self.is_stopping();
            run.note_failure(recorded.then(|| self.key()));
        }
    }

    /// Takes note of an error that the library itself brought about.
    pub(in crate::step) fn note_run_error(&self, error: &RunError) {
        if let Some(run) = self.run {
            run.note_run_error(error);
        }
    }

    /// Whether a failure is the run's, not the step's: it was cancelled, is out of time, or cannot go on.
    /// What an operation made of that is not its outcome.
    pub(in crate::step) fn is_stopping(&self) -> bool {
        let Some(run) = self.run else { return false };
        match &self.detail {
            Some(detail) if detail.shielded || detail.while_waiting => {
                run.may_go_on().is_err() || (!detail.while_waiting && run.is_waiting())
            }
            _ => run.is_stopping(),
        }
    }

    pub(in crate::step) fn unencodable(&self, error: &EncodeError) -> RunError {
        let (type_name, reason) = (error.type_name.clone(), error.reason.clone());
        self.stopped(RunError::Unencodable { what: self.as_subject(), type_name, reason })
    }

    /// Begins to record `outcome`. `None`: the run has no journal.
    pub(in crate::step) fn record(&mut self, outcome: Outcome) -> Result<Option<Writing>, RunError> {
        let (Some(run), Some(detail)) = (self.run, &self.detail) else { return Ok(None) };
        let bytes = outcome.payload().len();
        if bytes > Payload::MAX_BYTES {
            let what = format!("the outcome of {}", self.as_subject()).into();
            return Err(run.stopped(RunError::TooLarge { what, bytes, limit: Payload::MAX_BYTES }));
        }
        let input = detail.input.as_ref().and_then(|input| input.as_ref().ok().copied());
        let record = Record { key: self.key().clone(), outcome, input };
        Ok(run.write(record, detail.replaces, detail.durability))
    }

    /// Where the outcome goes.
    pub(in crate::step) fn place(&self) -> Place {
        let input = self.detail.as_ref().and_then(|detail| detail.input.as_ref()?.as_ref().ok().copied());
        let lease = self.run.and_then(Shared::writer).map(|writer| writer.lease.clone());
        let replaces = self.detail.as_ref().is_some_and(|detail| detail.replaces);
        let on_recorded = if replaces { OnRecorded::Replace } else { OnRecorded::Refuse };
        Place { key: self.key().clone(), input, lease, on_recorded }
    }

    /// The attempt has recorded its outcome itself.
    pub(in crate::step) fn committed(&self, outcome: Outcome) {
        if let Some(run) = self.run {
            let Place { key, input, on_recorded, .. } = self.place();
            run.keep(Record { key, outcome, input }, on_recorded);
        }
    }

    pub(in crate::step) fn recorded(&self, kind: RecordedKind, bytes: usize) {
        self.tell(|step| EventKind::StepRecorded { step, kind, bytes, duration: self.duration() });
    }

    /// The attempt could not record its outcome, or does not know whether it has.
    pub(in crate::step) fn interrupted(&mut self, error: RunError) -> RunError {
        self.detail().in_flight = false;
        self.stopped(error)
    }

    pub(in crate::step) fn not_recorded(&self, error: StoreError) -> RunError {
        self.stopped(error.into())
    }

    /// The hook after the step, where the run has one.
    pub(in crate::step) fn hook(&mut self, kind: RecordedKind) -> Option<Hooked> {
        // What undoes a step is not refused.
        let run = self.run.filter(|_| !self.is_shielded())?;
        let hooked = run.hook_after_step(|| self.id(), kind)?;
        let now = self.clock().now();
        self.detail().began = Some(now);
        Some(hooked)
    }

    /// The hook has answered.
    pub(in crate::step) fn hooked(&self, answer: &Result<(), Refusal>) {
        let (hook, duration) = (Hook::AfterStep, self.duration());
        self.tell(|step| match answer {
            Ok(()) => EventKind::HookPassed { hook, step: Some(step), duration },
            Err(refusal) => {
                let error = refusal.reason.to_string();
                EventKind::HookRefused { hook, step: Some(step), duration, error }
            }
        });
        if let (Err(_), Some(run)) = (answer, self.run) {
            run.note_failure(None);
        }
    }
}

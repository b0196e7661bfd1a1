//! The outcome: its events, its record, and the hook after it.

use std::fmt;

use super::Frame;
use crate::error::RunError;
use crate::event::EventKind;
use crate::guard::Refusal;
use crate::hook::Hooked;
use crate::journal::{EncodeError, Fingerprint, Key, Kind, Outcome, Payload, Record};
use crate::shared::Writing;
use crate::store::{Lease, OnRecorded, StoreError};

/// A write of an outcome to the store.
pub(in crate::step) struct Recording {
    pub(in crate::step) writing: Writing,
    pub(in crate::step) kind: Kind,
    pub(in crate::step) bytes: usize,
    /// The failure that is recorded instead of an outcome that cannot be recorded.
    pub(in crate::step) instead: Option<Box<RunError>>,
}

/// The destination of a step's outcome.
#[derive(Debug)]
pub struct Destination {
    pub(in crate::step) key: Key,
    pub(in crate::step) input: Option<Fingerprint>,
    /// `None` if the run has no store.
    pub(in crate::step) lease: Option<Lease>,
    pub(in crate::step) on_recorded: OnRecorded,
}

impl Frame<'_> {
    #[inline]
    pub(crate) fn succeeded(&mut self) {
        if let Some(detail) = &mut self.detail {
            detail.in_flight = false;
            let waited = detail.noted.wait.is_some();
            let attempt = self.attempt;
            self.tell(|step| EventKind::StepSucceeded { step, attempt, duration: self.duration() });
            if waited {
                self.forget_waits();
            }
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

    /// Notes that the step failed, now or in an earlier execution. A retry of the run drops a recorded failure.
    pub(super) fn note_failure(&self) {
        if let Some(run) = self.run {
            run.stopping.note_failure(self.is_recorded().then(|| self.key()));
        }
    }

    /// Stops the run, because the caller's input of the step has no JSON form.
    pub(in crate::step) fn unencodable(&self, error: &EncodeError) -> RunError {
        let what = format!("the input of {}", self.as_subject()).into();
        let (type_name, reason) = (error.type_name.clone(), error.reason.clone());
        self.stopped(RunError::Unencodable { what, type_name, reason })
    }

    fn unkept(&self, type_name: &str, reason: &str) -> RunError {
        let what = format!("the outcome of {}", self.as_subject()).into();
        RunError::Unencodable { what, type_name: type_name.into(), reason: reason.into() }
    }

    /// Returns the outcome if the journal can hold it, or the failure that the journal holds instead.
    pub(in crate::step) fn fits(&self, encoded: Result<Outcome, EncodeError>) -> Result<Outcome, RunError> {
        let outcome = encoded.map_err(|error| self.unkept(&error.type_name, &error.reason))?;
        let (bytes, limit) = (outcome.payload().len(), Payload::MAX_BYTES);
        if bytes <= limit {
            return Ok(outcome);
        }
        let what = format!("the outcome of {}", self.as_subject()).into();
        Err(RunError::TooLarge { what, bytes, limit })
    }

    /// Begins to record `outcome`. Returns `None` if the run has no journal.
    pub(in crate::step) fn record(
        &mut self,
        outcome: Outcome,
        instead: Option<Box<RunError>>,
    ) -> Option<Recording> {
        let (run, detail) = (self.run?, self.detail.as_ref()?);
        let (kind, bytes) = (outcome.kind(), outcome.payload().len());
        let input = detail.input.as_ref().and_then(|input| input.as_ref().ok().copied());
        let record = Record { key: self.key().clone(), outcome, input };
        let writing = run.journal.write(record, detail.on_recorded, detail.durability);
        Some(Recording { writing, kind, bytes, instead })
    }

    /// Records `outcome` of a step without an operation, if the run has a journal.
    pub(crate) async fn record_now(&mut self, outcome: Outcome) -> Result<(), RunError> {
        if let Some(Recording { writing, kind, bytes, .. }) = self.record(outcome, None) {
            writing.await.map_err(|error| self.not_recorded(error))?;
            self.recorded(kind, bytes);
        }
        Ok(())
    }

    /// Begins a sleep, or continues it in this execution.
    pub(crate) fn sleeps(&mut self) {
        self.started();
        self.begin_attempt();
    }

    /// Begins to record that the outcome cannot be recorded. The operation had its effect, so the step must not run
    /// again automatically, and the run must show the failure.
    ///
    /// # Errors
    /// Returns `unkept` if the run has no journal.
    pub(in crate::step) fn record_unkept(&mut self, unkept: RunError) -> Result<Recording, RunError> {
        // An error always has a JSON form.
        let payload = Payload::encode(&unkept).unwrap_or_else(|_| Payload::from_stored("null"));
        let recording = self.record(Outcome::Stopped(payload), Some(Box::new(unkept.clone())));
        recording.ok_or(unkept)
    }

    /// Handles a failed write. If the store cannot hold such a value, the journal records this as the step's failure;
    /// any other error stops the run.
    pub(in crate::step) fn not_kept(
        &mut self,
        error: StoreError,
        type_name: &str,
        is_second: bool,
    ) -> Result<Recording, RunError> {
        match error {
            StoreError::Unstorable { detail } if !is_second => {
                let unkept = self.unkept(type_name, &detail);
                self.failed(&unkept, 1);
                self.record_unkept(unkept)
            }
            error => Err(self.not_recorded(error)),
        }
    }

    /// Returns the destination of the outcome.
    pub(in crate::step) fn destination(&self) -> Destination {
        let input = self.detail.as_ref().and_then(|detail| detail.input.as_ref()?.as_ref().ok().copied());
        let lease = self.run.and_then(|run| run.journal.writer()).map(|writer| writer.lease.clone());
        let on_recorded = self.detail.as_ref().map(|detail| detail.on_recorded).unwrap_or_default();
        Destination { key: self.key().clone(), input, lease, on_recorded }
    }

    /// Notes that the attempt has recorded its outcome itself.
    pub(in crate::step) fn committed(&self, outcome: Outcome) {
        if let Some(run) = self.run {
            let Destination { key, input, on_recorded, .. } = self.destination();
            run.journal.keep(Record { key, outcome, input }, on_recorded);
        }
    }

    pub(in crate::step) fn recorded(&self, kind: Kind, bytes: usize) {
        self.tell(|step| EventKind::StepRecorded { step, kind, bytes, duration: self.duration() });
    }

    /// Stops the run, because the attempt could not record its outcome or does not know if it has.
    pub(in crate::step) fn interrupted(&mut self, error: RunError) -> RunError {
        self.detail().in_flight = false;
        self.stopped(error)
    }

    pub(in crate::step) fn not_recorded(&self, error: StoreError) -> RunError {
        self.stopped(error.into())
    }

    /// Handles a failed call that asks a question or looks for its answer. If the store refuses the call, the step has
    /// failed, because the store would refuse it in each execution; any other error stops the run.
    pub(in crate::step) fn not_asked(&self, error: StoreError) -> RunError {
        if !matches!(error, StoreError::Unstorable { .. }) {
            return self.not_recorded(error);
        }
        if let Some(run) = self.run {
            run.stopping.note_failure(None);
        }
        let error = error.into();
        self.refuses(&error);
        error
    }

    /// Calls the hook after the step, if the run has one.
    pub(in crate::step) fn hook(&mut self, kind: Kind) -> Option<Hooked> {
        // A hook cannot refuse a compensation.
        let run = self.run.filter(|_| !self.is_shielded())?;
        let hooked = run.watchers.hook_after_step(|| self.id(), kind)?;
        let now = self.clock().now();
        self.detail().began = Some(now);
        Some(hooked)
    }

    /// Sends the event of the hook's answer.
    pub(in crate::step) fn hooked(&self, answer: &Result<(), Refusal>) {
        let duration = self.duration();
        self.tell(|step| match answer {
            Ok(()) => EventKind::HookPassed { step: Some(step), duration },
            Err(refusal) => {
                let error = refusal.reason.to_string();
                EventKind::HookRefused { step: Some(step), duration, error }
            }
        });
        if let (Err(_), Some(run)) = (answer, self.run) {
            run.stopping.note_failure(None);
        }
    }
}

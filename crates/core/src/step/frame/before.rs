//! The checks before the first attempt, and finally the lookup in the journal.

use super::Frame;
use crate::error::RunError;
use crate::event::EventKind;
use crate::journal::{Decision, DecodeError, Found, Key, Taken};
use crate::shared::Shared;
use crate::store::OnRecorded;

impl Frame<'_> {
    /// Notifies the stage that the step is about to be looked up.
    #[inline(always)]
    pub(crate) fn looks_up(&self) {
        if self.detail.is_some() {
            self.looks_up_on_stage();
        }
    }

    #[inline(never)]
    fn looks_up_on_stage(&self) {
        if let Some(run) = self.run
            && let Some(stage) = run.stage()
        {
            stage.looks_up(run.run_id(), &self.id());
        }
    }

    /// Returns the outcome in the journal, or `None` if the step has to run.
    #[inline]
    pub(crate) fn look_up(&mut self, recorded: bool) -> Result<Option<Found>, RunError> {
        match self.run {
            None => Ok(None),
            Some(run) => self.look_up_in(run, recorded),
        }
    }

    fn look_up_in(&mut self, run: &Shared, recorded: bool) -> Result<Option<Found>, RunError> {
        run.stopping.may_go_on()?;
        if recorded {
            self.check_key()?;
            return self.look_into_journal(run);
        }
        if !self.is_shielded() {
            run.may_begin(self.label())?;
        }
        Ok(None)
    }

    /// Refuses the step if the run was cancelled, or if only recorded steps may run. A recorded step is found before
    /// this check, so that the body always gets as far as it did before.
    fn may_run(&self, run: &Shared) -> Result<(), RunError> {
        if self.is_shielded() {
            return Ok(());
        }
        run.may_begin(self.label())?;
        run.may_go_beyond(self.label())
    }

    /// Refuses an invalid key before any work is done under it.
    fn check_key(&self) -> Result<(), RunError> {
        let key = self.key();
        if let Some(Taken::Duplicate(key)) = self.detail.as_ref().and_then(|detail| detail.key.as_ref()) {
            return Err(self.stopped(RunError::DuplicateKey { key: key.clone() }));
        }
        if (1..=Key::MAX_BYTES).contains(&key.len()) {
            return Ok(());
        }
        let what =
            if key.is_empty() { "the key of a step".into() } else { format!("the key `{}`", shortened(key)) };
        Err(self.stopped(RunError::unfit(&what, key.len(), Key::MAX_BYTES)))
    }

    fn look_into_journal(&mut self, run: &Shared) -> Result<Option<Found>, RunError> {
        let detail = self.detail();
        let on_change = detail.on_change;
        let input = match &detail.input {
            Some(Err(error)) => {
                let error = error.clone();
                return Err(self.unencodable(&error));
            }
            Some(Ok(input)) => Some(*input),
            None => None,
        };
        let Some(found) = run.keys.recall(self.key()) else {
            self.may_run(run)?;
            self.tell(|step| EventKind::StepMissed { step });
            return Ok(None);
        };
        if let Some(retrying) = found.outcome.as_retrying() {
            self.resumes(retrying);
            return self.disregard().map(|()| None);
        }
        match on_change.decide(found.input, input) {
            Decision::Reuse => Ok(Some(found)),
            Decision::Refuse => Err(self.stopped(RunError::InputChanged { what: self.as_subject() })),
            // The effect for the other input is the effect that has to be undone.
            Decision::Rerun if run.execution.is_only_recorded() => Ok(Some(found)),
            Decision::Rerun => self.disregard().map(|()| None),
        }
    }

    /// Discards a recorded outcome: the step runs, and its new outcome replaces the recorded one.
    pub(in crate::step) fn disregard(&mut self) -> Result<(), RunError> {
        if let Some(run) = self.run {
            self.may_run(run)?;
        }
        self.detail().on_recorded = OnRecorded::Replace;
        self.tell(|step| EventKind::StepMissed { step });
        Ok(())
    }

    /// Sends the event that the recorded outcome is used. `failed` states whether it is a failure.
    pub(crate) fn reused(&self, failed: bool) {
        self.tell(|step| EventKind::StepReused { step });
        if failed {
            self.note_failure();
        }
    }

    pub(crate) fn undecodable(&self, error: &DecodeError) -> RunError {
        let (type_name, reason) = (error.type_name.clone(), error.reason.clone());
        self.stopped(RunError::Undecodable { what: self.as_subject(), type_name, reason })
    }
}

/// Returns the first characters of a text that is too long to show.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

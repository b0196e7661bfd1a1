//! The undo of a saga: the recorded decision, and the compensations.
//!
//! A durable saga writes three kinds of records when it is undone, in this order:
//!
//! 1. `undo`, the [`UndoDecision`]. It holds the body's error and the steps to undo, in the order in which they succeeded.
//!    From here on, no execution goes forward. A later execution calls the body only to enter the compensations again,
//!    because their closures are in no record, and its result is ignored: the decision holds the first one.
//! 2. `undo <step>` for each compensation, an ordinary step. If the process dies between two of them, the next execution
//!    finds the compensations that were carried out and runs the others.
//! 3. `undo: done` after the last compensation, if all succeeded.
//!
//! A retry of the run drops records, which this module lists for it. If all steps were undone, it drops all records of the
//! saga except `undo: done`, so that the saga begins anew. The record that stays counts the passes: the next pass records
//! `undo: done@2`, and its idempotency keys end in `@2`, because a service must not take the new call for the undone one.
//! If a compensation failed, the retry drops only the outcomes of the failed compensations, and the undo continues.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, resume_unwind};

use awaitly_core::extend::undo;
use awaitly_core::journal::Key;
use awaitly_core::step::{Keep, Step};
use awaitly_core::{Error, FromStep, Mode, Run, RunError};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use crate::error::Rest;
use crate::ledger::{Done, Ledger};
use crate::story::Story;
use crate::{FailedCompensation, Saga, SagaError};

/// The decision to undo a saga. The journal records it before the first compensation runs.
///
/// Programs do not create or read it. It is public because the bounds of [`saga`](fn@crate::saga) name it: a durable
/// run records the body's error in the decision, so the error type needs serde.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoDecision<E> {
    cause: Cause<E>,
    /// The steps to undo, in the order in which they succeeded.
    steps: Vec<Key>,
    in_doubt: Vec<Key>,
    /// The number of the pass through the saga: 1, and one more for each retry after an undo.
    time: u32,
    /// Whether the run was cancelled.
    cancelled: bool,
}

/// The cause of an undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause<E> {
    /// The body returned this error.
    Failed(E),
    /// The body panicked with this message.
    Panicked(String),
}

impl<E> Cause<E> {
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self::Panicked(message(panic))
    }

    /// Returns the body's error, or resumes its panic.
    pub(crate) fn into_error(self) -> E {
        match self {
            Self::Failed(error) => error,
            Self::Panicked(message) => resume_unwind(Box::new(message)),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

impl<E> UndoDecision<E> {
    pub(crate) fn of<M: Mode>(saga: &Saga<'_, E, M>, cause: Cause<E>, time: u32) -> Self {
        let cancelled = undo::is_cancelled(saga.run());
        Self { cause, steps: saga.registered(), in_doubt: saga.in_doubt(), time, cancelled }
    }

    pub(crate) fn put_right<M>(&self, ledger: &Ledger<'_, E, M>) {
        ledger.put_right(&self.steps, &self.in_doubt);
    }
}

/// The step that records the decision to undo. It takes its key when the saga begins.
pub(crate) struct Decision<'r, M: Mode>(Step<'r, (), (), M>, u32);

/// The part of a recorded decision that can be read without the saga's error type.
#[derive(Deserialize)]
struct Made {
    time: u32,
}

impl<'r, M: Mode> Decision<'r, M> {
    pub(crate) fn new(run: &'r Run<M>, name: Option<&str>) -> Self {
        let name = name.map_or_else(|| Key::from("undo"), |name| Key::from(format!("undo {name}")));
        let step = undo::shielded(run.step(name, ()));
        let key = undo::key_of(&step);
        let made = undo::recorded(run, &key).and_then(|made| made.decode::<Made>().ok());
        let time = match made {
            Some(Made { time }) => time,
            // A retry drops the decision but keeps the record that it was carried out.
            None => (1..).find(|time| undo::recorded(run, &carried_out(&key, *time)).is_none()).unwrap_or(1),
        };
        Self(step, time)
    }

    /// The number of the pass through the saga: 1, and one more for each retry after an undo.
    pub(crate) const fn time(&self) -> u32 {
        self.1
    }

    pub(crate) fn key(&self) -> Key {
        undo::key_of(&self.0)
    }

    /// Whether an earlier execution recorded the decision.
    pub(crate) fn is_made(&self) -> bool {
        undo::is_known(&self.0)
    }

    /// Reads the recorded decision.
    pub(crate) async fn recall<E>(self) -> Result<UndoDecision<E>, E>
    where
        M: Keep<UndoDecision<E>, RunError>,
        E: FromStep<RunError>,
    {
        // The decision is recorded, so the operation is never called.
        finish(self.0.__operation(pending::<Result<UndoDecision<E>, RunError>>).await)
    }

    /// Records the decision, if the run records outcomes.
    pub(crate) async fn make<E>(self, undoing: UndoDecision<E>) -> Result<UndoDecision<E>, E>
    where
        M: Keep<UndoDecision<E>, RunError>,
        E: FromStep<RunError>,
    {
        if !M::RECORDS {
            return Ok(undoing);
        }
        finish(self.0.__operation(|| ready(Ok::<_, RunError>(undoing))).await)
    }
}

/// The key that records that pass `time` through the saga was undone.
fn carried_out(decision: &Key, time: u32) -> Key {
    Key::from(if time == 1 { format!("{decision}: done") } else { format!("{decision}: done@{time}") })
}

fn finish<T, E: FromStep<RunError>>(ended: Result<T, Error<RunError>>) -> Result<T, E> {
    ended.map_err(|(Error::Failed(error) | Error::Run(error))| E::from_step(error))
}

impl<E, M> Saga<'_, E, M>
where
    M: Mode,
    E: FromStep<RunError> + fmt::Display,
{
    /// Undoes the steps, the last one first. `again` is `true` if an earlier execution made the decision.
    pub(crate) async fn undo<T>(
        &self,
        undoing: UndoDecision<E>,
        decision: Key,
        again: bool,
        story: &mut Story<'_, M>,
    ) -> Result<T, SagaError<E>> {
        let UndoDecision { cause, steps, in_doubt, time, cancelled } = undoing;
        let mut failed_on = undo::failed_on(self.run());
        if again && cancelled {
            undo::note_cancelled(self.run());
        }
        undo::begins(self.run()).await.map_err(|error| SagaError::new(E::from_step(error)))?;
        story.undo_begins(self.ledger().lock().done.len());
        let mut unwinding = Unwinding { rest: Rest::new(in_doubt), stuck: Vec::new() };
        if again {
            self.miss(steps, &mut unwinding);
        }
        loop {
            let next = self.ledger().lock().done.pop();
            let Some(Done { step, undo }) = next else { break };
            let mut dropped = Dropped { ledger: self.ledger(), step: Some(&step) };
            let undo = AssertUnwindSafe(undo(self.run().clone(), undo_of(&step))).catch_unwind();
            let (key, undone) = undo.await.unwrap_or_else(|panic| panicked(&step, &*panic));
            dropped.step = None;
            drop(dropped);
            if undone.is_err() && undo::pauses(self.run()) {
                return Err(self.paused(step, unwinding.rest));
            }
            match undone {
                Ok(()) => self.ledger().lock().keys.push(key),
                Err(error) => {
                    // Includes the steps that failed inside the compensation.
                    unwinding.stuck.extend(undo::failed_on(self.run()));
                    unwinding.stuck.push(key);
                    unwinding.rest.failed.push(FailedCompensation { step, error });
                    if self.options().stops_on_failure {
                        break;
                    }
                }
            }
        }
        let left = std::mem::take(&mut self.ledger().lock().done);
        unwinding.rest.left.extend(left.into_iter().rev().map(|done| done.step));
        story.undo_ended(unwinding.rest.failed.len() + unwinding.rest.left.len());
        // A crash before this record only repeats the loop above, which finds every compensation recorded.
        if M::RECORDS && self.is_undone(&unwinding) {
            self.carry_out(carried_out(&decision, time)).await.map_err(SagaError::new)?;
        }
        self.note(&mut unwinding, decision, &mut failed_on);
        Err(SagaError::with(cause.into_error(), unwinding.rest))
    }

    /// Returns the error of an undo that pauses, because the compensation of `step` waits or the run was interrupted.
    /// The next execution of the run continues the undo.
    fn paused(&self, step: Key, mut rest: Rest<E>) -> SagaError<E> {
        let pause = undo::pause(self.run(), &undo_of(&step));
        rest.left.push(step);
        rest.left.extend(self.registered().into_iter().rev());
        SagaError::with(E::from_step(pause), rest)
    }

    /// Handles the steps that the resumed body did not reach: either they were undone before, or their compensation is
    /// unknown.
    fn miss(&self, steps: Vec<Key>, unwinding: &mut Unwinding<E>) {
        let entered: HashSet<_> = self.registered().into_iter().collect();
        for step in steps.into_iter().filter(|step| !entered.contains(step)) {
            let undo = undo_of(&step);
            if undo::recorded(self.run(), &undo).is_some() {
                self.ledger().lock().keys.push(undo);
                continue;
            }
            let error = E::from_step(never_entered(&step));
            unwinding.stuck.push(undo);
            unwinding.rest.failed.push(FailedCompensation { step, error });
        }
    }

    /// Whether this saga and its nested sagas have undone all their steps.
    fn is_undone(&self, unwinding: &Unwinding<E>) -> bool {
        unwinding.stuck.is_empty() && self.ledger().lock().stuck.is_empty()
    }

    /// Records that all steps were undone. A retry keeps this record and counts a new pass, whose idempotency keys
    /// differ from the undone ones.
    async fn carry_out(&self, key: Key) -> Result<(), E> {
        // The key already includes the scope of the run, even if the operation of a step executes the saga.
        let step = undo::keyed(self.run(), key, || ready(Ok::<_, RunError>(())));
        finish(undo::shielded(step).await)
    }

    /// Lists the records that a retry of the run drops. If the saga was undone, these are all its records, so that it
    /// begins anew; otherwise, the compensations that failed.
    fn note(&self, unwinding: &mut Unwinding<E>, decision: Key, failed_on: &mut Vec<Key>) {
        let Unwinding { rest, stuck } = unwinding;
        let mut entries = self.ledger().lock();
        // The steps that nested sagas could not undo.
        stuck.append(&mut entries.stuck);
        rest.left.append(&mut entries.left);
        let is_undone = stuck.is_empty();
        let keys = if is_undone {
            failed_on.extend(entries.keys.iter().cloned());
            failed_on.push(decision.clone());
            entries.keys.push(decision);
            std::mem::take(failed_on)
        } else {
            entries.stuck.clone_from(stuck);
            entries.left = rest.failed.iter().map(|failed| &failed.step).chain(&rest.left).cloned().collect();
            std::mem::take(stuck)
        };
        // On a volatile handle, the keys do not belong to the journal.
        match (M::RECORDS, is_undone) {
            (true, true) => undo::undone(self.run(), keys),
            (true, false) => undo::gave_up(self.run(), keys),
            (false, _) => {}
        }
    }
}

/// The progress of an undo.
struct Unwinding<E> {
    rest: Rest<E>,
    /// The keys of the compensations that failed.
    stuck: Vec<Key>,
}

/// A compensation in flight. If it is dropped, the outer saga learns that the step was not undone.
struct Dropped<'l, 'c, E, M> {
    ledger: &'l Ledger<'c, E, M>,
    step: Option<&'l Key>,
}

impl<E, M> Drop for Dropped<'_, '_, E, M> {
    fn drop(&mut self) {
        if let Some(step) = self.step {
            let mut entries = self.ledger.lock();
            entries.left.push(step.clone());
            entries.stuck.push(undo_of(step));
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn undo_of(step: &Key) -> Key {
    Key::from(format!("undo {step}"))
}

/// Turns a panic of a compensation into a failure, so that the other compensations still run.
fn panicked<E: FromStep<RunError>>(step: &Key, panic: &(dyn Any + Send)) -> (Key, Result<(), E>) {
    let (key, message) = (undo_of(step), message(panic).into());
    let error = RunError::Panicked { step: Some(key.clone()), message };
    (key, Err(E::from_step(error)))
}

/// The failure for a recorded step that the resumed body did not reach.
fn never_entered(step: &Key) -> RunError {
    RunError::Refused {
        step: undo_of(step),
        by: "saga".into(),
        reason:
            "the resumed body did not come to this step with its value: let the way to it depend on recorded values \
                 only, record a value that comes back, and retry the run"
                .into(),
        retry_after: None,
    }
}

//! From the failure of a body to the end of its saga: the decision to undo, which is recorded, and the compensations.

use std::any::Any;
use std::fmt;
use std::future::{pending, ready};
use std::panic::resume_unwind;

use awaitly_core::__undo::Stopping;
use awaitly_core::journal::Key;
use awaitly_core::step::{Keep, Once, Step};
use awaitly_core::{__undo, Error, FromStep, Mode, Run, RunError};
use serde::{Deserialize, Serialize};

use crate::error::Rest;
use crate::ledger::Done;
use crate::story::Story;
use crate::{FailedCompensation, OnGiveUp, Saga, SagaError};

/// That a saga is being undone, as it is recorded before the first compensation runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undoing<E> {
    cause: Cause<E>,
    /// What is to be undone, in the order in which it was done.
    steps: Vec<Key>,
    in_doubt: Vec<Key>,
}

/// Why a saga is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause<E> {
    /// The body returned this error.
    Failed(E),
    /// The body panicked, with this message.
    Panicked(String),
}

impl<E> Cause<E> {
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        Self::Panicked(
            text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| "no message".to_owned()),
        )
    }

    /// The error of the body; a panic goes on.
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

impl<E> Undoing<E> {
    pub(crate) fn of<M: Mode>(saga: &Saga<'_, E, M>, cause: Cause<E>) -> Self {
        Self { cause, steps: saga.registered(), in_doubt: saga.in_doubt() }
    }
}

/// The step that records that a saga is being undone. It takes its key when the saga begins.
pub(crate) struct Decision<'r, M: Mode>(Step<'r, (), Once, M::Keep>);

impl<'r, M: Mode> Decision<'r, M> {
    pub(crate) fn new(run: &'r Run<M>) -> Self {
        Self(__undo::shielded(run.step("undo", ())))
    }

    pub(crate) fn key(&self) -> Key {
        __undo::key_of(&self.0)
    }

    /// Whether it was made before, and is recorded.
    pub(crate) fn is_made(&self) -> bool {
        __undo::is_known(&self.0)
    }

    /// What was recorded.
    pub(crate) async fn recall<E>(self) -> Result<Undoing<E>, E>
    where
        M::Keep: Keep<Undoing<E>, RunError>,
        E: FromStep<RunError>,
    {
        // It is recorded, so the operation is not called.
        finish(self.0.__operation(pending::<Result<Undoing<E>, RunError>>).await)
    }

    /// Records it, where anything is.
    pub(crate) async fn make<E>(self, undoing: Undoing<E>) -> Result<Undoing<E>, E>
    where
        M::Keep: Keep<Undoing<E>, RunError>,
        E: FromStep<RunError>,
    {
        if !M::RECORDS {
            return Ok(undoing);
        }
        finish(self.0.__operation(|| ready(Ok::<_, RunError>(undoing))).await)
    }
}

fn finish<T, E: FromStep<RunError>>(ended: Result<T, Error<RunError>>) -> Result<T, E> {
    ended.map_err(|(Error::Failed(error) | Error::Run(error))| E::from_step(error))
}

impl<E, M> Saga<'_, E, M>
where
    M: Mode,
    E: FromStep<RunError> + fmt::Display,
{
    /// Undoes what was done, the last step first.
    pub(crate) async fn undo<T>(
        &self,
        undoing: Undoing<E>,
        story: &mut Story<'_, M>,
    ) -> Result<T, SagaError<E>> {
        let Undoing { cause, steps, in_doubt } = undoing;
        let mut failed_on = __undo::failed_on(self.run());
        let mut done = std::mem::take(&mut self.ledger().lock().done);
        story.undo_begins(done.len());
        let mut rest = Rest::new(in_doubt);
        let mut stuck = Vec::new();
        for step in steps.into_iter().filter(|step| done.iter().all(|done| done.step != *step)) {
            stuck.push(undo_of(&step));
            let error = E::from_step(never_entered(&step));
            rest.failed.push(FailedCompensation { step, error });
        }
        while let Some(Done { step, undo }) = done.pop() {
            let (key, undone) = undo(self.run().clone(), undo_of(&step)).await;
            if __undo::stopping(self.run()) == Some(Stopping::Interrupted) {
                // The run goes on with it when it is run again.
                return Err(SagaError::with(cause.into_error(), rest));
            }
            match undone {
                Ok(()) => self.ledger().lock().keys.push(key),
                Err(error) => {
                    stuck.push(key);
                    rest.failed.push(FailedCompensation { step, error });
                    if self.options().on_give_up == OnGiveUp::Stop {
                        break;
                    }
                }
            }
        }
        rest.left.extend(done.into_iter().rev().map(|done| done.step));
        story.undo_ended(rest.failed.len() + rest.left.len());
        self.note(&mut rest, stuck, &mut failed_on, story);
        Err(SagaError::with(cause.into_error(), rest))
    }

    /// Says what a retry of the run drops: all of a saga that was undone, so that it begins anew; of one that was
    /// not, the compensations that failed.
    fn note(&self, rest: &mut Rest<E>, mut stuck: Vec<Key>, failed_on: &mut Vec<Key>, story: &Story<'_, M>) {
        let mut entries = self.ledger().lock();
        // What the sagas inside of this one could not undo.
        stuck.append(&mut entries.stuck);
        rest.left.append(&mut entries.left);
        if stuck.is_empty() {
            failed_on.extend(entries.keys.iter().cloned());
            failed_on.push(story.saga().clone());
            entries.keys.push(story.saga().clone());
            __undo::ended(self.run(), __undo::Undoing::Done, std::mem::take(failed_on));
        } else {
            entries.stuck.clone_from(&stuck);
            entries.left = rest.failed.iter().map(|failed| &failed.step).chain(&rest.left).cloned().collect();
            __undo::ended(self.run(), __undo::Undoing::GaveUp, stuck);
        }
    }
}

fn undo_of(step: &Key) -> Key {
    Key::from(format!("undo {step}"))
}

/// The body did not come to a step that it had done before.
fn never_entered(step: &Key) -> RunError {
    RunError::Refused {
        step: undo_of(step),
        by: "saga".into(),
        reason:
            "the resumed body did not come to this step, so nobody knows what undoes it: let the way to it \
                 depend on recorded values only, and retry the run"
                .into(),
        retry_after: None,
    }
}

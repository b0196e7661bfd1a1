use std::fmt;

use awaitly_core::extend::Takes;
use awaitly_core::journal::Key;
use awaitly_core::{AsRunError, Error, FromStep, RunError};
use serde::{Deserialize, Serialize};

/// What a saga fails with: the error of its body, and what could not be undone.
///
/// It shows the body's error alone where all was undone. It can be the error type of a function that executes
/// steps, and of a workflow, as long as `E` can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaError<E> {
    error: E,
    // In a box, since it is empty as a rule.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    rest: Option<Box<Rest<E>>>,
}

/// All beside the error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rest<E> {
    pub(crate) failed: Vec<FailedCompensation<E>>,
    pub(crate) left: Vec<Key>,
    pub(crate) in_doubt: Vec<Key>,
}

/// A compensation that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedCompensation<E> {
    /// The step that it should have undone.
    pub step: Key,
    /// What it failed with.
    pub error: E,
}

impl<E> Rest<E> {
    pub(crate) const fn new(in_doubt: Vec<Key>) -> Self {
        Self { failed: Vec::new(), left: Vec::new(), in_doubt }
    }

    const fn is_empty(&self) -> bool {
        self.failed.is_empty() && self.left.is_empty() && self.in_doubt.is_empty()
    }
}

impl<E> SagaError<E> {
    /// A saga that failed with `error`, and of which nothing is left.
    pub const fn new(error: E) -> Self {
        Self { error, rest: None }
    }

    pub(crate) fn with(error: E, rest: Rest<E>) -> Self {
        Self { error, rest: (!rest.is_empty()).then(|| Box::new(rest)) }
    }

    /// What the body failed with.
    pub const fn error(&self) -> &E {
        &self.error
    }

    /// The same, without what could not be undone. Look at [`is_undone`](Self::is_undone) first.
    pub fn into_error(self) -> E {
        self.error
    }

    /// Whether no compensation failed. So it is where there was none to run: the run waits, or was interrupted and goes on
    /// where it is resumed.
    pub fn is_undone(&self) -> bool {
        self.failed().is_empty() && self.left().is_empty()
    }

    /// The compensations that failed for good, in the order in which they were tried.
    pub fn failed(&self) -> &[FailedCompensation<E>] {
        self.rest.as_ref().map_or(&[], |rest| &rest.failed)
    }

    /// The steps beside those that were not undone: their compensation was not tried, because one before it failed
    /// (see [`OnGiveUp::Stop`](crate::OnGiveUp::Stop)), or a saga inside of this one could not undo them, whose own
    /// error said why.
    pub fn left(&self) -> &[Key] {
        self.rest.as_ref().map_or(&[], |rest| &rest.left)
    }

    /// The steps with a compensation that ended while their operation was under way: timed out, cancelled, dropped.
    /// Whether they had an effect is not known, and they were not undone.
    pub fn in_doubt(&self) -> &[Key] {
        self.rest.as_ref().map_or(&[], |rest| &rest.in_doubt)
    }
}

impl<E: fmt::Display> fmt::Display for SagaError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        for FailedCompensation { step, error } in self.failed() {
            write!(f, "; `{step}` could not be undone: {error}")?;
        }
        for step in self.left() {
            write!(f, "; `{step}` was not undone")?;
        }
        for step in self.in_doubt() {
            write!(f, "; whether `{step}` took effect is not known: look before it is done again")?;
        }
        Ok(())
    }
}

impl<E: std::error::Error + 'static> std::error::Error for SagaError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl<E: AsRunError> AsRunError for SagaError<E> {
    fn as_run_error(&self) -> Option<&RunError> {
        self.error.as_run_error()
    }
}

// Coherent because `SagaError` has no `From<RunError>`, which the blanket impls ask for.
impl<E, F> Takes<Error<F>> for SagaError<E>
where
    E: FromStep<Error<F>>,
{
    fn take(failure: Error<F>) -> Self {
        Self::new(E::from_step(failure))
    }
}

impl<E: FromStep<RunError>> Takes<RunError> for SagaError<E> {
    fn take(failure: RunError) -> Self {
        Self::new(E::from_step(failure))
    }
}

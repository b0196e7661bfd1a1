use std::fmt;

use awaitly_core::extend::Takes;
use awaitly_core::journal::Key;
use awaitly_core::{AsRunError, Error, FromStep, RunError};
use serde::{Deserialize, Serialize};

/// The failure of a saga: the error of its body, and the steps that could not be undone.
///
/// If all steps were undone and none is [in doubt](Self::in_doubt), the text is the body's error alone. A
/// `SagaError<E>` can be the error type of a function that executes steps, or of a workflow, if `E` can.
///
/// ```
/// use awaitly_core::{RunError, run, step};
/// use awaitly_saga::saga;
///
/// # async fn book(_: &str) -> Result<u32, RunError> { Ok(7) }
/// # async fn keep(_: u32) -> Result<(), RunError> { Err(RunError::Cancelled { step: None }) }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let trip = run(async |run| {
///     saga(run, async |saga| {
///         step!(saga, "inn", compensate = keep, book("inn"));
///         Err::<(), _>(RunError::Expired { step: "signature".into() })
///     })
///     .await
/// });
/// let error = trip.await.unwrap_err();
/// assert!(!error.is_undone());
/// assert_eq!(error.failed()[0].step, "inn".into());
/// assert!(matches!(error.into_error(), RunError::Expired { .. }));
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaError<E> {
    error: E,
    // In a box, because it is usually empty.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    rest: Option<Box<Rest<E>>>,
}

/// The parts of a [`SagaError`] other than the body's error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rest<E> {
    pub(crate) failed: Vec<FailedCompensation<E>>,
    pub(crate) left: Vec<Key>,
    pub(crate) in_doubt: Vec<Key>,
}

/// A compensation that failed after its retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedCompensation<E> {
    /// The step that the compensation should have undone.
    pub step: Key,
    /// The failure of the compensation.
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
    /// Creates the failure of a saga that has no step left to undo.
    pub const fn new(error: E) -> Self {
        Self { error, rest: None }
    }

    pub(crate) fn with(error: E, rest: Rest<E>) -> Self {
        Self { error, rest: (!rest.is_empty()).then(|| Box::new(rest)) }
    }

    /// Returns the body's error.
    pub const fn error(&self) -> &E {
        &self.error
    }

    /// Returns the body's error by value, and drops the list of steps that could not be undone. Check
    /// [`is_undone`](Self::is_undone) first.
    pub fn into_error(self) -> E {
        self.error
    }

    /// Returns `true` if no compensation failed and none was skipped. It also returns `true` if no undo began, because
    /// the run waits or was interrupted, or because [`keep_on_cancel`](crate::SagaOptions::keep_on_cancel) kept the
    /// effects of a cancelled saga. Steps in doubt do not count: see [`in_doubt`](Self::in_doubt).
    pub fn is_undone(&self) -> bool {
        self.failed().is_empty() && self.left().is_empty()
    }

    /// Returns the compensations that failed after their retries, in the order in which they were tried.
    pub fn failed(&self) -> &[FailedCompensation<E>] {
        self.rest.as_ref().map_or(&[], |rest| &rest.failed)
    }

    /// Returns the steps that were not undone for a reason other than a failure of their compensation in this saga:
    ///
    /// - An earlier compensation failed, and [`stop_on_failure`](crate::SagaOptions::stop_on_failure) ended the undo.
    /// - The undo pauses: a compensation waits, or the run was interrupted.
    /// - A nested saga could not undo the step. The error of the nested saga contains the reason.
    pub fn left(&self) -> &[Key] {
        self.rest.as_ref().map_or(&[], |rest| &rest.left)
    }

    /// Returns the steps whose effect is unknown: a timeout, a cancellation or a drop, for example, ended the step
    /// while its operation was in flight. The saga has not undone these steps. Steps without a compensation are not
    /// listed.
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

// Coherent because `SagaError` has no `From<RunError>`, which the blanket impls require.
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

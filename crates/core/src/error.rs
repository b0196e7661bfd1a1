use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journal::{Key, MigrationError, Refused};
use crate::store::{InvalidRunId, StoreError};

/// What one step fails with, or one run whose own error has no room for [`RunError`].
///
/// The step's own error passes through untouched; everything that the library adds is one variant.
///
/// # The question mark
///
/// [`step!`](crate::step!) converts an `Error<E>` into the error of the surrounding function. `?` on an awaited step
/// does so too, once your error type takes the failure of every step:
///
/// ```
/// use awaitly_core::{Error, FromStep, Run, RunError};
///
/// #[derive(Debug, thiserror::Error)]
/// enum CheckoutError {
///     #[error(transparent)]
///     Amount(#[from] std::num::ParseIntError),
///     #[error(transparent)]
///     Run(#[from] RunError),
/// }
///
/// impl<E> From<Error<E>> for CheckoutError
/// where
///     Self: FromStep<Error<E>>,
/// {
///     fn from(failure: Error<E>) -> Self {
///         Self::from_step(failure)
///     }
/// }
///
/// async fn amount(run: &Run, text: &str) -> Result<u32, CheckoutError> {
///     Ok(run.step("parse", || async { text.parse::<u32>() }).await?)
/// }
/// ```
///
/// Without that conversion, name the error instead: `.await.map_err(CheckoutError::from_step)?`, with
/// [`FromStep`] in scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Error<E> {
    /// The operation failed, with its own error.
    Failed(E),
    /// The operation did not come to an end of its own.
    Run(RunError),
}

impl<E> Error<E> {
    /// The operation's own error, if that is what it is.
    #[must_use]
    pub const fn failed(&self) -> Option<&E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Run(_) => None,
        }
    }

    /// The same with the operation's own error changed.
    pub fn map<F>(self, change: impl FnOnce(E) -> F) -> Error<F> {
        match self {
            Self::Failed(error) => Error::Failed(change(error)),
            Self::Run(error) => Error::Run(error),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Run(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Run(error) => error.source(),
        }
    }
}

/// What the library itself adds to the ways in which a step or a run can end.
///
/// One variant of your own enum holds it: `#[error(transparent)] Run(#[from] RunError)`. It is a value
/// like any other: it can be compared, cloned, stored, and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunError {
    /// A limit of time passed first. The attempt was dropped, so it is really cancelled.
    #[error(
        "step `{step}` did not end within {after:?}{}: raise the {limit} or look at what it waits for",
        in_attempt(*attempt)
    )]
    Timeout {
        /// The step.
        step: Key,
        /// The attempt that was running; 1 is the first. 0: the run's time was over before it began.
        attempt: u32,
        /// The limit.
        after: Duration,
        /// Which limit it was.
        limit: Limit,
    },
    /// The run was cancelled. What was recorded stays; `Workflow::retry` resumes it from there.
    #[error("the run was cancelled{}: retry it to resume from what it has recorded", at(step.as_ref()))]
    Cancelled {
        /// The step that was running or about to.
        step: Option<Key>,
    },
    /// The run waits for an answer from outside, or sleeps for so long that it was parked. Run it again once
    /// the answer is there or the time has come.
    #[error("the run waits at `{step}`: run it again once the answer is there or the time has come")]
    Waiting {
        /// The step that waits.
        step: Key,
    },
    /// Nobody answered in time.
    #[error("nobody answered `{step}` in time: retry the run to ask again")]
    Expired {
        /// The step that waited.
        step: Key,
    },
    /// Who was asked said no.
    #[error("the answer to `{step}` is no: {reason}")]
    Rejected {
        /// The step that waited.
        step: Key,
        /// Why, as JSON.
        reason: Box<str>,
    },
    /// A guard or a hook did not let the step or the run pass.
    #[error("`{by}` refused {step}: {reason}{}", retry_hint(*retry_after))]
    Refused {
        /// The step, or the run for a hook before it.
        step: Key,
        /// Who refused.
        by: Box<str>,
        /// Why.
        reason: Box<str>,
        /// How long to wait before it is worth trying again, where the guard knows.
        retry_after: Option<Duration>,
    },
    /// The body, or the operation of a step, panicked.
    #[error("the run panicked{}: {message}; mend the code and retry the run", at(step.as_ref()))]
    Panicked {
        /// The recorded step whose operation panicked. `None`: the body itself did, or a step that is not recorded.
        step: Option<Key>,
        /// The panic's message.
        message: Box<str>,
    },
    /// Two steps of the run have the same key, so one of them would get the other's outcome.
    #[error("two steps of the run have the key `{key}`: give one of them a `key` of its own")]
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// A recorded outcome was made from another input than the one of now.
    #[error(
        "{what} was recorded for another input: use a new run id or key, or say what happens with `on_change`"
    )]
    InputChanged {
        /// The step, or the run.
        what: Box<str>,
    },
    /// The journal was written by a newer version of the workflow.
    #[error(
        "the journal of run `{run}` has version {stored}, this code is version {code}: deploy the newer code, or use a new run id"
    )]
    NewerVersion {
        /// The run.
        run: Box<str>,
        /// The version of the journal.
        stored: u32,
        /// The version of the workflow.
        code: u32,
    },
    /// The journal could not be brought to the version of the workflow. It is as it was.
    #[error("the journal of run `{run}` could not be migrated: {reason}")]
    Migration {
        /// The run.
        run: Box<str>,
        /// Which migration is missing or failed.
        reason: Box<str>,
    },
    /// The run's body declared that it is [too late to cancel](crate::Run::too_late_to_cancel) it.
    #[error("it is too late to cancel run `{run}`: let it end, and undo its effects by other means")]
    TooLateToCancel {
        /// The run.
        run: Box<str>,
    },
    /// Another owner holds the lease of the run.
    #[error(
        "run `{run}` is being executed elsewhere: wait for it, or try again in {remaining:?} when its lease ends"
    )]
    Busy {
        /// The run.
        run: Box<str>,
        /// How long the lease still lasts if it is not renewed.
        remaining: Duration,
    },
    /// The run id belongs to another workflow.
    #[error("run `{run}` belongs to the workflow `{workflow}`: use another run id")]
    OtherWorkflow {
        /// The run.
        run: Box<str>,
        /// The workflow that it belongs to.
        workflow: Box<str>,
    },
    /// There is no such run, and the workflow was told to [begin none](crate::Workflow::only_existing).
    #[error(
        "there is no run `{run}`: it was deleted, or never begun; leave it, or begin it where runs begin"
    )]
    NoSuchRun {
        /// The run.
        run: Box<str>,
    },
    /// The run failed before with an error that was kept as text.
    #[error("run `{run}` failed: {text}")]
    Failed {
        /// The run.
        run: Box<str>,
        /// The error, with the errors that it was caused by.
        text: Box<str>,
    },
    /// A recorded outcome is no longer of the type that the code asks for. Nothing was overwritten.
    #[error(
        "what is recorded for {what} is no longer a `{type_name}` ({reason}): raise the workflow's version and add a migration"
    )]
    Undecodable {
        /// The step, or the run.
        what: Box<str>,
        /// The type that was asked for.
        type_name: Box<str>,
        /// What the decoder said.
        reason: Box<str>,
    },
    /// A value cannot be recorded: it has no JSON form, does not come back from it, or the store cannot keep it. The
    /// effect of the step took place, so the step is not executed again unless the run is retried.
    #[error(
        "{what} cannot be recorded as a `{type_name}` ({reason}): return another type, or make it a step of `run.volatile()`"
    )]
    Unencodable {
        /// The step, or the run.
        what: Box<str>,
        /// The type of the value.
        type_name: Box<str>,
        /// What the encoder said.
        reason: Box<str>,
    },
    /// A text that names something has no characters.
    #[error("{what} is empty: use a text of at least one character")]
    Empty {
        /// The text, for example the run id.
        what: Box<str>,
    },
    /// A handle was used after the body of its run had ended, or was dropped.
    #[error(
        "this execution of run `{run}` has ended, so its handle can do nothing more: build steps only while the body runs"
    )]
    Ended {
        /// The run.
        run: Box<str>,
    },
    /// Something is larger than a journal takes.
    #[error(
        "{what} has {bytes} bytes, at most {limit} are taken: keep the large part elsewhere and record where it is"
    )]
    TooLarge {
        /// What is too large.
        what: Box<str>,
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// The store failed. The run stopped; what it recorded before is kept, and it can be resumed.
    #[error("the store failed: {0}")]
    Store(#[source] StoreError),
}

/// Which limit of time passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The `timeout` of an attempt.
    Attempt,
    /// The `deadline` of a step, with all its attempts and the waiting between them.
    Step,
    /// The deadline of the run.
    Run,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempt => "step's timeout",
            Self::Step => "step's deadline",
            Self::Run => "run's deadline",
        })
    }
}

impl RunError {
    /// Returns whether it ends or pauses the run, so that it is no failure of the step that returned it: the run waits,
    /// is executed elsewhere, was cancelled, is past its deadline, or its store failed.
    ///
    /// The library never records such an error, never counts it against a guard, and never lets a fallback take its
    /// place.
    ///
    /// ```
    /// use awaitly_core::RunError;
    ///
    /// assert!(RunError::Waiting { step: "manager".into() }.pauses());
    /// assert!(!RunError::Expired { step: "manager".into() }.pauses());
    /// ```
    #[must_use]
    pub const fn pauses(&self) -> bool {
        match self {
            Self::Timeout { limit, .. } => matches!(limit, Limit::Run),
            Self::Cancelled { .. } | Self::Waiting { .. } | Self::Busy { .. } | Self::Store(_) => true,
            _ => false,
        }
    }

    /// Returns whether a journal keeps it as a step's outcome.
    ///
    /// Timeouts of an attempt or a step, refusals, and values that cannot be kept are recorded, because a body may have
    /// acted on them.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        match self {
            Self::Timeout { limit, .. } => !matches!(limit, Limit::Run),
            Self::Refused { .. } | Self::Expired { .. } | Self::Rejected { .. } => true,
            _ => self.is_unkept(),
        }
    }

    /// Returns whether a value could not be kept.
    pub(crate) const fn is_unkept(&self) -> bool {
        matches!(self, Self::Unencodable { .. } | Self::TooLarge { .. })
    }

    /// Whether the run cannot go on after it: whether an outcome is in the store is not known.
    pub(crate) const fn interrupts(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Empty { .. } | Self::Ended { .. })
    }

    /// Whether another attempt may follow.
    pub(crate) const fn is_retried(&self) -> bool {
        matches!(self, Self::Timeout { limit: Limit::Attempt, .. } | Self::Refused { .. })
    }

    pub(crate) fn refused(refused: Refused, run: &str, code: u32) -> Self {
        let run = run.into();
        match refused {
            Refused::Busy { remaining } => Self::Busy { run, remaining },
            Refused::OtherWorkflow { workflow } => Self::OtherWorkflow { run, workflow: (*workflow).into() },
            Refused::NewerVersion { stored } => Self::NewerVersion { run, stored, code },
            Refused::NoSuchRun => Self::NoSuchRun { run },
            Refused::TooLateToCancel => Self::TooLateToCancel { run },
            Refused::InputChanged => Self::InputChanged { what: format!("run `{run}`").into() },
        }
    }

    /// The result of a run cannot be kept, for this reason.
    pub(crate) fn unkept_result<T>(run: &str, reason: &str) -> Self {
        let what = format!("the result of run `{run}`").into();
        Self::Unencodable { what, type_name: std::any::type_name::<T>().into(), reason: reason.into() }
    }

    /// A length other than 1 to `limit` bytes.
    pub(crate) fn unfit(what: &str, bytes: usize, limit: usize) -> Self {
        let what = what.into();
        if bytes == 0 { Self::Empty { what } } else { Self::TooLarge { what, bytes, limit } }
    }

    pub(crate) fn migration(error: &MigrationError, run: &str) -> Self {
        Self::Migration { run: run.into(), reason: error.to_string().into() }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<InvalidRunId> for RunError {
    fn from(error: InvalidRunId) -> Self {
        Self::unfit("the run id", error.bytes, crate::store::RunId::MAX_BYTES)
    }
}

impl From<Infallible> for RunError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn in_attempt(attempt: u32) -> String {
    if attempt == 0 { String::new() } else { format!(" in attempt {attempt}") }
}

fn at(step: Option<&Key>) -> String {
    step.map(|step| format!(" at step `{step}`")).unwrap_or_default()
}

fn retry_hint(retry_after: Option<Duration>) -> String {
    retry_after.map(|after| format!("; try again in {after:?}")).unwrap_or_default()
}

/// An error type that takes the failure of a step, so that `step!` can return it.
///
/// You do not implement it. It holds for every error type with `From<E>` for the step's own error `E`
/// and `From<RunError>`: an enum with two `#[from]` variants, `anyhow::Error`,
/// `Box<dyn std::error::Error + Send + Sync>`. And it holds for [`Error<D>`] where `D: From<E>`, for those whose
/// error has no room for [`RunError`].
///
/// ```
/// use awaitly_core::{Error, FromStep, RunError};
///
/// #[derive(Debug, thiserror::Error)]
/// enum CheckoutError {
///     #[error(transparent)]
///     Amount(#[from] std::num::ParseIntError),
///     #[error(transparent)]
///     Run(#[from] RunError),
/// }
///
/// let failure = Error::Failed("x".parse::<u32>().unwrap_err());
/// assert!(matches!(CheckoutError::from_step(failure), CheckoutError::Amount(_)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take the failure of this step, `{F}`",
    label = "this step's failure has no way into `{Self}`",
    note = "`{Self}` needs `From` for the step's own error and for `RunError`: two variants with `#[from]` in a thiserror enum",
    note = "where `{Self}` has no room for `RunError`, return `awaitly::Error<{Self}>` instead"
)]
pub trait FromStep<F> {
    /// The failure, as this error.
    fn from_step(failure: F) -> Self;
}

// The only impl. Where the error type is not known, the compiler lists every impl that it could choose, for every step
// of the body; with one impl there is nothing to list, and it reports the first place alone.
#[diagnostic::do_not_recommend]
impl<T: Takes<F>, F> FromStep<F> for T {
    fn from_step(failure: F) -> Self {
        T::take(failure)
    }
}

/// The impls behind [`FromStep`].
#[doc(hidden)]
pub trait Takes<F> {
    /// The failure, as this error.
    fn take(failure: F) -> Self;
}

impl<T, E> Takes<Error<E>> for T
where
    T: From<E> + From<RunError>,
{
    fn take(failure: Error<E>) -> Self {
        match failure {
            Error::Failed(error) => error.into(),
            Error::Run(error) => error.into(),
        }
    }
}

impl<T: From<RunError>> Takes<RunError> for T {
    fn take(failure: RunError) -> Self {
        failure.into()
    }
}

// Coherent because `Error<D>` has no `From<RunError>`, which the two impls above ask for.
impl<D: From<E>, E> Takes<Error<E>> for Error<D> {
    fn take(failure: Error<E>) -> Self {
        failure.map(D::from)
    }
}

impl<D> Takes<RunError> for Error<D> {
    fn take(failure: RunError) -> Self {
        Self::Run(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_error_comes_back_from_json_as_it_was() {
        let error = RunError::Refused {
            step: "charge".into(),
            by: "breaker".into(),
            reason: "open".into(),
            retry_after: Some(Duration::from_millis(1500)),
        };
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<RunError>(&json).unwrap(), error);
        assert_eq!(error.to_string(), "`breaker` refused charge: open; try again in 1.5s");
    }

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<RunError>() <= 72, "{}", size_of::<RunError>());
    }

    #[test]
    fn a_failure_finds_its_way_into_erased_errors() {
        let failure = || Error::Failed(std::fmt::Error);
        assert!(anyhow::Error::from_step(failure()).is::<std::fmt::Error>());
        assert!(<Box<dyn std::error::Error + Send + Sync>>::from_step(failure()).is::<std::fmt::Error>());
    }
}

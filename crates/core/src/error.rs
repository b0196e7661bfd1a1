use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journal::{Key, MigrationError, Refused};
use crate::store::{InvalidRunId, StoreError};

/// The failure of a step, or of a run whose error type has no variant for [`RunError`].
///
/// The operation's own error passes through unchanged. The library's failures are one variant.
///
/// # The question mark
///
/// [`step!`](crate::step!) converts an `Error<E>` into the error type of the surrounding function. The `?` operator does so too
/// if your error type implements `From` for the failure of every step:
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
/// Without that `impl`, write `.await.map_err(CheckoutError::from_step)?` with [`FromStep`] in scope.
///
/// # Reacting to one failure
///
/// ```
/// use awaitly_core::{Error, Run, RunError};
///
/// # #[derive(Debug, thiserror::Error)] #[error("declined")] struct Declined;
/// # async fn charge_card() -> Result<u32, Declined> { Err(Declined) }
/// # async fn send_invoice() -> Result<u32, RunError> { Ok(7) }
/// async fn pay(run: &Run) -> Result<u32, RunError> {
///     match run.step("charge", charge_card).await {
///         Ok(receipt) => Ok(receipt),
///         Err(Error::Failed(Declined)) => send_invoice().await,
///         Err(Error::Run(error)) => Err(error),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Error<E> {
    /// The operation returned its own error.
    Failed(E),
    /// The library ended the step, for example at a timeout, or the run cannot go on.
    Run(RunError),
}

impl<E> Error<E> {
    /// Returns the operation's own error, if the operation failed.
    ///
    /// ```
    /// use awaitly_core::{Error, RunError};
    ///
    /// assert_eq!(Error::Failed("declined").failed(), Some(&"declined"));
    /// assert_eq!(Error::<u32>::Run(RunError::Cancelled { step: None }).failed(), None);
    /// ```
    #[must_use]
    pub const fn failed(&self) -> Option<&E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Run(_) => None,
        }
    }

    /// Applies `change` to the operation's own error, and keeps a [`RunError`] as it is.
    ///
    /// ```
    /// use awaitly_core::Error;
    ///
    /// let failure = Error::Failed(51).map(|code| format!("declined with code {code}"));
    /// assert_eq!(failure.to_string(), "declined with code 51");
    /// ```
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

/// A failure or pause that comes from the library and not from an operation: a timeout, a refusal, a cancellation, a wait, or a
/// failure of the store.
///
/// Give your own error enum one variant for it: `#[error(transparent)] Run(#[from] RunError)`.
///
/// ```
/// use awaitly_core::clock::ms;
/// use awaitly_core::{Limit, RunError, run, step};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let slow = run(async |run| Ok::<u32, RunError>(step!(run, "slow", timeout = ms(10), std::future::pending::<Result<u32, RunError>>()))).await;
/// assert!(matches!(slow, Err(RunError::Timeout { limit: Limit::Attempt, .. })));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunError {
    /// A time limit passed, and the step dropped the attempt in flight.
    #[error(
        "step `{step}` did not end within {after:?}{}: raise the {limit}, or find out why the operation is slow",
        in_attempt(*attempt)
    )]
    Timeout {
        /// The step.
        step: Key,
        /// The attempt in flight, counted from 1; 0 if the run's deadline passed before the first attempt.
        attempt: u32,
        /// The limit.
        after: Duration,
        /// The kind of the limit.
        limit: Limit,
    },
    /// The run was cancelled. Its journal stays, so [`Workflow::retry`](crate::Workflow::retry) can resume the run from
    /// its recorded steps.
    #[error("the run was cancelled{}: retry it to resume from its recorded steps", at(step.as_ref()))]
    Cancelled {
        /// The step that the cancellation ended or refused, if the library knows it.
        step: Option<Key>,
    },
    /// The run waits for an answer from outside, or is parked until a certain time. Run it again when the answer is
    /// recorded or the time has come.
    #[error("the run waits at `{step}`: run it again when the answer is recorded or the time has come")]
    Waiting {
        /// The step that waits.
        step: Key,
    },
    /// The question expired before an answer came.
    #[error("`{step}` got no answer in time: retry the run to ask again")]
    Expired {
        /// The step that waited.
        step: Key,
    },
    /// The answer is a rejection.
    #[error("`{step}` was rejected: {reason}; retry the run to ask again")]
    Rejected {
        /// The step that waited.
        step: Key,
        /// The reason, as JSON.
        reason: Box<str>,
    },
    /// A guard or a hook refused the step or the run.
    #[error("`{by}` refused `{step}`: {reason}{}", retry_hint(*retry_after))]
    Refused {
        /// The step, or the run id if a hook refused the run.
        step: Key,
        /// The name of the guard or hook.
        by: Box<str>,
        /// The reason.
        reason: Box<str>,
        /// The time after which the guard may admit a call, if the guard knows it.
        retry_after: Option<Duration>,
    },
    /// The body, or the operation of a step, panicked.
    #[error("the run panicked{}: {message}; fix the code and retry the run", at(step.as_ref()))]
    Panicked {
        /// The recorded step whose operation panicked; `None` if the body or an unrecorded step panicked.
        step: Option<Key>,
        /// The panic's message.
        message: Box<str>,
    },
    /// Two steps of the run have one key, so one of them would get the outcome of the other.
    #[error("two steps of the run have the key `{key}`: give one of them a `key` of its own")]
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// The journal holds an outcome for a different input.
    #[error("{what} was recorded for a different input: use a new run id or key, or set `on_change`")]
    InputChanged {
        /// The step, or the run.
        what: Box<str>,
    },
    /// The journal was written by a newer version of the workflow.
    #[error(
        "run `{run}` has version {stored}, but this code has version {code}: deploy the newer code, or use a new run id"
    )]
    NewerVersion {
        /// The run.
        run: Box<str>,
        /// The version of the journal.
        stored: u32,
        /// The version of the workflow.
        code: u32,
    },
    /// The journal could not be migrated to the version of the workflow. The store has not changed it.
    #[error("the journal of run `{run}` could not be migrated: {reason}")]
    Migration {
        /// The run.
        run: Box<str>,
        /// Which migration is missing or failed.
        reason: Box<str>,
    },
    /// The run's body has declared that it is [too late to cancel](crate::Run::too_late_to_cancel).
    #[error("it is too late to cancel run `{run}`: let it end, and undo its effects in another way")]
    TooLateToCancel {
        /// The run.
        run: Box<str>,
    },
    /// Another owner holds the lease of the run.
    #[error(
        "run `{run}` is being executed elsewhere: wait, or try again when its lease expires in {remaining:?}"
    )]
    Busy {
        /// The run.
        run: Box<str>,
        /// The remaining time of the lease, if its owner does not renew it.
        remaining: Duration,
    },
    /// The run id belongs to another workflow.
    #[error("run `{run}` belongs to the workflow `{workflow}`: use another run id")]
    OtherWorkflow {
        /// The run.
        run: Box<str>,
        /// The workflow that began the run.
        workflow: Box<str>,
    },
    /// The store has no such run, and the workflow [begins no new runs](crate::Workflow::only_existing).
    #[error(
        "there is no run `{run}`: it was deleted or never begun; to begin it, use a workflow without `only_existing`"
    )]
    NoSuchRun {
        /// The run.
        run: Box<str>,
    },
    /// The run failed in an earlier execution, and the workflow keeps
    /// [errors as text](crate::Workflow::errors_as_text).
    #[error("run `{run}` failed: {text}")]
    Failed {
        /// The run.
        run: Box<str>,
        /// The error, with the chain of its causes.
        text: Box<str>,
    },
    /// A recorded outcome does not decode as the type that the code expects. The journal is unchanged.
    #[error(
        "the record of {what} is no longer a `{type_name}` ({reason}): restore the old type, or raise the workflow's version and migrate the step"
    )]
    Undecodable {
        /// The step, or the run.
        what: Box<str>,
        /// The expected type.
        type_name: Box<str>,
        /// The message of the decoder.
        reason: Box<str>,
    },
    /// A value cannot be recorded: it has no JSON form, its JSON form does not decode, or the store cannot hold it. If
    /// the value belongs to a step, the effect of the step has already happened, so only a retry of the run executes
    /// the step again.
    #[error(
        "{what} cannot be recorded as a `{type_name}` ({reason}): change the type; a step can also be built on `run.volatile()`"
    )]
    Unencodable {
        /// The step, or the run.
        what: Box<str>,
        /// The type of the value.
        type_name: Box<str>,
        /// The message of the encoder.
        reason: Box<str>,
    },
    /// A name, key or run id is empty.
    #[error("{what} is empty: use a text of at least one character")]
    Empty {
        /// The text, for example the run id.
        what: Box<str>,
    },
    /// The program used a handle after the body of its run had ended or was dropped.
    #[error(
        "this execution of run `{run}` has ended, so its handle builds no more steps: use it only inside the body"
    )]
    Ended {
        /// The run.
        run: Box<str>,
    },
    /// A value, key or run id exceeds the limit of journals.
    #[error(
        "{what} has {bytes} bytes, but the limit is {limit}: store the large part elsewhere and record its location"
    )]
    TooLarge {
        /// The value, key or run id.
        what: Box<str>,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The processes that executed the run died, several times in a row and without progress. A worker fails such a run,
    /// because its input may kill each process that executes it.
    #[error(
        "the process that executed run `{run}` died {crashes} times in a row without progress: find the cause, then retry the run"
    )]
    CrashedRepeatedly {
        /// The run.
        run: Box<str>,
        /// The number of processes that died.
        crashes: u32,
    },
    /// The step needs the engine, for example to start another run, and no worker executes this run.
    #[error("`{step}` needs the engine: let a worker execute the run, instead of `Workflow::run`")]
    NoWorker {
        /// The step.
        step: Key,
    },
    /// The body asked for a new start of the run with a fresh journal. The run is queued again.
    #[error("the run starts again with a fresh journal: return this error from the body")]
    Restarting,
    /// The store failed, and the run stopped. It can be resumed from its recorded outcomes.
    #[error("the store failed: {0}")]
    Store(#[source] StoreError),
}

/// The kind of a time limit.
///
/// ```
/// use awaitly_core::clock::secs;
/// use awaitly_core::{Limit, RunError};
///
/// let late = RunError::Timeout { step: "charge".into(), attempt: 2, after: secs(5), limit: Limit::Step };
/// let message = late.to_string();
/// assert!(message.starts_with("step `charge` did not end within 5s in attempt 2: raise the step's deadline"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The `timeout` of one attempt.
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
    /// Returns `true` if the error ends or pauses the run: the run waits, is executed elsewhere, was cancelled, is past its
    /// deadline, or its store failed.
    ///
    /// Such an error is not a failure of the step that returned it. The library does not record it, does not count it against a
    /// guard, and does not replace it with a fallback.
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
            Self::Cancelled { .. } | Self::Waiting { .. } | Self::Busy { .. } | Self::Restarting => true,
            _ => self.is_store_failure(),
        }
    }

    /// Returns `true` if a journal keeps the error as a step's outcome.
    ///
    /// A journal keeps timeouts of an attempt or a step, refusals, expired and rejected questions, and the failure to
    /// record a value ([`Unencodable`](Self::Unencodable), [`TooLarge`](Self::TooLarge)), because the body may have
    /// acted on these errors.
    ///
    /// ```
    /// use awaitly_core::clock::secs;
    /// use awaitly_core::{Limit, RunError};
    ///
    /// let late = |limit| RunError::Timeout { step: "charge".into(), attempt: 1, after: secs(5), limit };
    /// assert!(late(Limit::Attempt).is_recorded());
    /// assert!(!late(Limit::Run).is_recorded()); // the next execution has the full time again
    /// ```
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        match self {
            Self::Timeout { limit, .. } => !matches!(limit, Limit::Run),
            Self::Refused { .. } | Self::Expired { .. } | Self::Rejected { .. } => true,
            _ => self.is_unkept(),
        }
    }

    /// Returns `true` if a value could not be kept.
    pub(crate) const fn is_unkept(&self) -> bool {
        matches!(self, Self::Unencodable { .. } | Self::TooLarge { .. })
    }

    /// Returns `true` if the run cannot go on, because the library does not know whether the store holds an outcome.
    pub(crate) const fn interrupts(&self) -> bool {
        matches!(self, Self::Empty { .. } | Self::Ended { .. } | Self::NoWorker { .. })
            || self.is_store_failure()
    }

    /// Returns `true` if the store failed. A store that refuses a value has not failed: it refuses the value in each
    /// execution.
    const fn is_store_failure(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(error, StoreError::Unstorable { .. }),
            _ => false,
        }
    }

    /// Returns `true` if another attempt may follow.
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

    /// Returns the error for a result of a run that cannot be kept.
    pub(crate) fn unkept_result<T>(run: &str, reason: &str) -> Self {
        let what = format!("the result of run `{run}`").into();
        Self::Unencodable { what, type_name: std::any::type_name::<T>().into(), reason: reason.into() }
    }

    /// Returns the error for a text whose length is not between 1 and `limit` bytes.
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

/// Conversion from the failure of a step into an error type, which `step!` applies.
///
/// You do not implement this trait. If an error type implements both `From<E>` for the step's own error `E` and
/// `From<RunError>`, it implements this trait: for example, an enum with two `#[from]` variants, `anyhow::Error`, or
/// `Box<dyn std::error::Error + Send + Sync>`.
///
/// If an error type `D` has no variant for [`RunError`], use [`Error<D>`], which implements this trait if `D: From<E>`.
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
    message = "the failure of this step, `{F}`, does not convert into `{Self}`",
    label = "this step's failure does not convert into `{Self}`",
    note = "`{Self}` needs `From` for the step's own error and for `RunError`: two variants with `#[from]` in a thiserror enum",
    note = "if `{Self}` has no variant for `RunError`, return `awaitly::Error<{Self}>` instead"
)]
pub trait FromStep<F> {
    /// Converts the failure.
    fn from_step(failure: F) -> Self;
}

// The only impl. If the error type is unknown, the compiler lists every impl that it could choose, for every step of the body.
// With a single impl it has no list to print, and reports only the first place.
#[diagnostic::do_not_recommend]
impl<T: Takes<F>, F> FromStep<F> for T {
    fn from_step(failure: F) -> Self {
        T::take(failure)
    }
}

/// The conversions behind [`FromStep`].
#[doc(hidden)]
pub trait Takes<F> {
    /// Converts the failure.
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

// This is coherent because `Error<D>` has no `From<RunError>`, which the two impls above require.
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
    fn run_error_survives_a_round_trip_through_json() {
        let error = RunError::Refused {
            step: "charge".into(),
            by: "breaker".into(),
            reason: "open".into(),
            retry_after: Some(Duration::from_millis(1500)),
        };
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<RunError>(&json).unwrap(), error);
        assert_eq!(error.to_string(), "`breaker` refused `charge`: open; try again in 1.5s");
    }

    #[test]
    fn run_error_is_at_most_72_bytes() {
        assert!(size_of::<RunError>() <= 72, "{}", size_of::<RunError>());
    }

    #[test]
    fn failure_converts_into_erased_errors() {
        let failure = || Error::Failed(std::fmt::Error);
        assert!(anyhow::Error::from_step(failure()).is::<std::fmt::Error>());
        assert!(<Box<dyn std::error::Error + Send + Sync>>::from_step(failure()).is::<std::fmt::Error>());
    }
}

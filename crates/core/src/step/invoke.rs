use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::Frame;
use crate::error::{Error, RunError};
use crate::retry::{Retry, Rules};
use crate::store::{Transactional, Tx};

/// The way in which an operation is called: its result, and the future of one attempt.
///
/// [`Once`] and [`Retrying`] implement this trait. Do not implement it.
#[diagnostic::on_unimplemented(
    message = "`{F}` cannot be the operation of this step",
    label = "this step's operation",
    note = "an operation is a closure that returns a future of a `Result<T, E>` where `E: Display`: `|| api.charge(&hold)`",
    note = "with `retry` it is called several times, so it must not move what it captures: clone inside of it, or take a reference"
)]
pub trait Invoke<F>: Attempts<Self::Error> {
    /// The value of a successful operation.
    type Value;
    /// The error of a failed operation.
    type Error: fmt::Display;
    /// The future of one attempt.
    type Attempt: Future<Output = Result<Self::Value, Self::Error>>;
    /// The data of its step that an attempt needs.
    #[doc(hidden)]
    type Place: OfStep;

    /// Begins an attempt. Returns `None` if the operation cannot be called again.
    #[doc(hidden)]
    fn invoke(&self, operation: &mut Option<F>, place: Self::Place) -> Option<Self::Attempt>;

    /// Returns the reason why an attempt is pending.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    fn waits(_: Pin<&mut Self::Attempt>) -> Waits {
        Waits::ForOperation
    }
}

/// The data of a step that its attempts need.
pub trait OfStep {
    /// Reads the data from the step.
    fn of(frame: &Frame<'_>) -> Self;
}

impl OfStep for () {
    #[inline]
    fn of(_: &Frame<'_>) {}
}

/// The reason why an attempt is pending.
#[derive(Debug)]
pub enum Waits {
    /// It waits for the operation, which a limit may end.
    ForOperation,
    /// It waits for the store, which may already have the outcome. No limit may end this wait.
    ForStore,
    /// It does not wait any more, because this error ended it.
    Never(RunError),
}

/// The number of attempts, and the reaction to an attempt that failed with an `E`. Do not implement this trait.
pub trait Attempts<E> {
    /// Returns the maximum number of attempts.
    fn max(&self) -> u32;

    /// Returns the delay before the attempt that follows the failed `attempt`, or `None` if no attempt follows.
    /// `previous` is the delay before the failed attempt.
    fn after(
        &self,
        attempt: u32,
        previous: Duration,
        error: &Error<E>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<Duration>;

    /// Returns the delay before a guard is asked again after a refusal, and the maximum time of refusals for the step.
    /// `refusals` is the number of refusals of this attempt. Returns `None` if the refusal is the failure of the step.
    fn after_refusal(
        &self,
        refusals: u32,
        previous: Duration,
        retry_after: Option<Duration>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<(Duration, Duration)>;

    /// Notes a success.
    fn succeeded(&self);
}

/// Calls the operation once, so the operation may move its captured values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Once;

/// Calls the operation again as long as the policy permits.
#[derive(Debug, Clone)]
pub struct Retrying<P>(pub(crate) Retry<P>);

/// The number of calls of an operation, which a retry policy changes. Do not implement this trait.
pub trait Repeat {
    /// The type after the change to the policy `P`.
    type Again<P>;
    /// Sets the retry policy.
    fn again<P>(self, policy: Retry<P>) -> Self::Again<P>;
}

impl Repeat for Once {
    type Again<P> = Retrying<P>;

    fn again<P>(self, policy: Retry<P>) -> Retrying<P> {
        Retrying(policy)
    }
}

impl<Q> Repeat for Retrying<Q> {
    type Again<P> = Retrying<P>;

    fn again<P>(self, policy: Retry<P>) -> Retrying<P> {
        Retrying(policy)
    }
}

impl<E> Attempts<E> for Once {
    #[inline]
    fn max(&self) -> u32 {
        1
    }

    #[inline]
    fn after(
        &self,
        _: u32,
        _: Duration,
        _: &Error<E>,
        _: impl FnOnce() -> fastrand::Rng,
    ) -> Option<Duration> {
        None
    }

    fn after_refusal(
        &self,
        _: u32,
        _: Duration,
        _: Option<Duration>,
        _: impl FnOnce() -> fastrand::Rng,
    ) -> Option<(Duration, Duration)> {
        None
    }

    #[inline]
    fn succeeded(&self) {}
}

impl<E, P: Rules<E>> Attempts<E> for Retrying<P> {
    fn max(&self) -> u32 {
        self.0.max_attempts()
    }

    fn after(
        &self,
        attempt: u32,
        previous: Duration,
        error: &Error<E>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<Duration> {
        match error {
            Error::Failed(error) => self.0.after_failure(attempt, previous, error, &mut dice()),
            Error::Run(error) => self.0.after_run_error(attempt, previous, error, &mut dice()),
        }
    }

    fn after_refusal(
        &self,
        refusals: u32,
        previous: Duration,
        retry_after: Option<Duration>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<(Duration, Duration)> {
        self.0.after_refusal(refusals, previous, retry_after, &mut dice())
    }

    #[inline]
    fn succeeded(&self) {
        if let Some(budget) = self.0.shared_budget() {
            budget.succeeded();
        }
    }
}

#[diagnostic::do_not_recommend]
impl<F, Fut, T, E> Invoke<F> for Once
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    type Value = T;
    type Error = E;
    type Attempt = Fut;
    type Place = ();

    #[inline]
    fn invoke(&self, operation: &mut Option<F>, (): ()) -> Option<Fut> {
        operation.take().map(|operation| operation())
    }
}

#[diagnostic::do_not_recommend]
impl<F, Fut, T, E, P> Invoke<F> for Retrying<P>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display,
    P: Rules<E>,
{
    type Value = T;
    type Error = E;
    type Attempt = Fut;
    type Place = ();

    #[inline]
    fn invoke(&self, operation: &mut Option<F>, (): ()) -> Option<Fut> {
        operation.as_mut().map(|operation| operation())
    }
}

/// Returns the closure of a step that is called once. This bound allows the closure to borrow mutably and to move.
pub fn once<F: FnOnce() -> Fut, Fut: Future>(operation: F) -> F {
    operation
}

/// Returns the closure of a step that receives a transaction and is called once.
pub fn once_in<S: Transactional, F: FnOnce(Tx<S::Transaction>) -> Fut, Fut: Future>(
    _: &S,
    operation: F,
) -> F {
    operation
}

/// Returns the closure of a step that receives a transaction and may be called again. Each attempt has a clone of it.
pub fn repeat_in<S: Transactional, F: Fn(Tx<S::Transaction>) -> Fut + Clone, Fut: Future>(
    _: &S,
    operation: F,
) -> F {
    operation
}

/// Returns the closure of a step that may be called again. With this bound, the compiler reports captured values that
/// must not be moved.
pub fn repeat<F: FnMut() -> Fut, Fut: Future>(operation: F) -> F {
    operation
}

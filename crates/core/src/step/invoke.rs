use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::Frame;
use crate::error::{Error, RunError};
use crate::retry::{Retry, Rules};
use crate::store::{Transactional, Tx};

/// How an operation is called: what it yields, and the future of one attempt.
///
/// It holds for [`Once`] and [`Retrying`]. You do not implement it.
#[diagnostic::on_unimplemented(
    message = "`{F}` cannot be the operation of this step",
    label = "this step's operation",
    note = "an operation is a closure that returns a future of a `Result<T, E>` where `E: Display`: `|| api.charge(&hold)`",
    note = "with `retry` it is called several times, so it must not move what it captures: clone inside of it, or take a reference"
)]
pub trait Invoke<F>: Attempts<Self::Error> {
    /// What the operation returns when all is well.
    type Value;
    /// What it fails with.
    type Error: fmt::Display;
    /// The future of one attempt.
    type Attempt: Future<Output = Result<Self::Value, Self::Error>>;
    /// What an attempt has to know of its step.
    #[doc(hidden)]
    type Place: OfStep;

    /// Begins an attempt. `None`: the operation was called as often as it can be.
    #[doc(hidden)]
    fn invoke(&self, operation: &mut Option<F>, place: Self::Place) -> Option<Self::Attempt>;

    /// What an attempt that is pending waits for.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    fn waits(_: Pin<&mut Self::Attempt>) -> Waits {
        Waits::ForOperation
    }
}

/// What is read off a step for its attempts.
pub trait OfStep {
    /// Reads it.
    fn of(frame: &Frame<'_>) -> Self;
}

impl OfStep for () {
    #[inline]
    fn of(_: &Frame<'_>) {}
}

/// What an attempt that is pending waits for.
#[derive(Debug)]
pub enum Waits {
    /// The operation, which a limit may end.
    ForOperation,
    /// The store, which has the outcome already: no limit may end that.
    ForStore,
    /// Nothing more: something else than the operation ended it.
    Never(RunError),
}

/// How many attempts are made, and what follows one that failed with an `E`. You do not implement it.
pub trait Attempts<E> {
    /// How many attempts are made at most.
    fn max(&self) -> u32;

    /// What follows the failed `attempt`, given the delay before it: another one after this delay, or
    /// `None`.
    fn after(
        &self,
        attempt: u32,
        previous: Duration,
        error: &Error<E>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<Duration>;

    /// Returns when a guard that refused is asked again, and how long a step may be refused in all. `refusals`: how
    /// often the guard refused this attempt. `None`: the refusal is the failure of the step.
    fn after_refusal(
        &self,
        refusals: u32,
        previous: Duration,
        retry_after: Option<Duration>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<(Duration, Duration)>;

    /// Takes note of a success.
    fn succeeded(&self);
}

/// The operation is called once, so it may move what it captures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Once;

/// The operation is called again as long as the policy says so.
#[derive(Debug, Clone)]
pub struct Retrying<P>(pub(crate) Retry<P>);

/// How often an operation is called, which a retry changes. You do not implement it.
pub trait Repeat {
    /// The same, as often as `P` says.
    type Again<P>;
    /// Sets the retry.
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

/// The closure of a step that is called once. With this bound in sight, the compiler lets the closure
/// borrow mutably and move.
pub fn once<F: FnOnce() -> Fut, Fut: Future>(operation: F) -> F {
    operation
}

/// The closure of a step that gets a transaction, and is called once.
pub fn once_in<S: Transactional, F: FnOnce(Tx<S::Transaction>) -> Fut, Fut: Future>(
    _: &S,
    operation: F,
) -> F {
    operation
}

/// The closure of a step that gets a transaction, and may be called again: each attempt has a copy of it.
pub fn repeat_in<S: Transactional, F: Fn(Tx<S::Transaction>) -> Fut + Clone, Fut: Future>(
    _: &S,
    operation: F,
) -> F {
    operation
}

/// The closure of a step that may be called again. With this bound in sight, the compiler says itself
/// what must not be moved.
pub fn repeat<F: FnMut() -> Fut, Fut: Future>(operation: F) -> F {
    operation
}

//! Replacements for a failure: a value, a function, another step.
//!
//! ```
//! use awaitly_core::{RunError, run, step};
//! use awaitly_resilience::Fallback;
//!
//! # #[derive(Debug, thiserror::Error)]
//! # enum QuoteError { #[error("no price")] NoPrice, #[error(transparent)] Run(#[from] RunError) }
//! # async fn live(_: &str) -> Result<u32, QuoteError> { Err(QuoteError::NoPrice) }
//! # async fn yesterday(_: &str) -> Result<u32, QuoteError> { Ok(7) }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let quote = run(async |run| {
//!     let price = step!(run
//!         .step("live price", || live("TEA"))
//!         .or_else(|_error| run.step("yesterday's price", || yesterday("TEA"))));
//!     let stock = step!(run.step("stock", || live("stock of TEA")).or_value(0));
//!     Ok::<_, QuoteError>((price, stock))
//! })
//! .await;
//! assert_eq!(quote.unwrap(), (7, 0));
//! # });
//! ```

use std::future::{Future, IntoFuture, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use awaitly_core::{Error, Limit, RunError};
use pin_project_lite::pin_project;

/// A replacement for the failure of a step. It is implemented for every step, and for all other futures of a `Result`
/// with an [`Error`].
///
/// A fallback replaces the operation's own error, a timeout of the step and a refusal. It does not replace a failure
/// that ends the run, for example a cancellation, the run's own deadline, or a failure of the store.
///
/// # Resume
/// A durable run records the failed step. If the replacement is another step, the run records it too, under its own
/// key. A resumed run therefore takes the same path, with one exception: the step failed because the hook
/// `Workflow::after_step` refused it. The run records the step's value before it calls the hook, so a resumed run
/// gets that value and not the replacement.
pub trait Fallback<T, E>: IntoFuture<Output = Result<T, Error<E>>> + Sized {
    /// Returns `value` if the step fails.
    ///
    /// ```
    /// use awaitly_core::{Error, run};
    /// use awaitly_resilience::Fallback;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # async fn stock() -> Result<u32, std::fmt::Error> { Err(std::fmt::Error) }
    /// # async fn stock_of_yesterday() -> Result<u32, std::fmt::Error> { Ok(7) }
    /// let stock = run(async |run| run.step("stock", stock).or_value(0).await).await;
    /// assert_eq!(stock, Ok(0));
    /// # });
    /// ```
    fn or_value(self, value: T) -> impl Future<Output = Result<T, Error<E>>> {
        self.or_value_of(|_| value)
    }

    /// Returns the value that `value` computes from the failure, if the step fails.
    ///
    /// ```
    /// use awaitly_core::{Error, run};
    /// use awaitly_resilience::Fallback;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # async fn stock() -> Result<u32, std::fmt::Error> { Err(std::fmt::Error) }
    /// # async fn stock_of_yesterday() -> Result<u32, std::fmt::Error> { Ok(7) }
    /// let known = run(async |run| run.step("stock", stock).or_value_of(|error| match error {
    ///     Error::Failed(_) => 0,
    ///     Error::Run(_) => u32::MAX,
    /// }).await);
    /// assert_eq!(known.await, Ok(0));
    /// # });
    /// ```
    fn or_value_of<F: FnOnce(Error<E>) -> T>(self, value: F) -> impl Future<Output = Result<T, Error<E>>> {
        self.or_else(|error| ready(Ok(value(error))))
    }

    /// Returns the result of `other` if the step fails. `other` receives the failure and usually returns another step.
    ///
    /// ```
    /// use awaitly_core::{Error, run};
    /// use awaitly_resilience::Fallback;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # async fn stock() -> Result<u32, std::fmt::Error> { Err(std::fmt::Error) }
    /// # async fn stock_of_yesterday() -> Result<u32, std::fmt::Error> { Ok(7) }
    /// let known = run(async |run| {
    ///     run.step("stock", stock).or_else(|_| run.step("stock of yesterday", stock_of_yesterday)).await
    /// });
    /// assert_eq!(known.await, Ok(7));
    /// # });
    /// ```
    fn or_else<F, S>(self, other: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        F: FnOnce(Error<E>) -> S,
        S: IntoFuture<Output = Result<T, Error<E>>>,
    {
        OrElse::First { step: self.into_future(), other: Some(other) }
    }
}

impl<S: IntoFuture<Output = Result<T, Error<E>>>, T, E> Fallback<T, E> for S {}

/// Returns whether a fallback replaces this failure. The run's deadline has passed for every step, so no fallback
/// replaces it.
const fn is_replaced<E>(error: &Error<E>) -> bool {
    match error {
        Error::Failed(_) | Error::Run(RunError::Refused { .. }) => true,
        Error::Run(RunError::Timeout { limit, .. }) => !matches!(limit, Limit::Run),
        Error::Run(_) => false,
    }
}

pin_project! {
    /// A step with another step for its failure.
    #[project = OrElseProj]
    enum OrElse<S, F, O> {
        First { #[pin] step: S, other: Option<F> },
        Other { #[pin] other: O },
    }
}

impl<S, F, O, T, E> Future for OrElse<S, F, O::IntoFuture>
where
    S: Future<Output = Result<T, Error<E>>>,
    F: FnOnce(Error<E>) -> O,
    O: IntoFuture<Output = Result<T, Error<E>>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                OrElseProj::First { step, other } => match (ready!(step.poll(cx)), other.take()) {
                    (Err(error), Some(other)) if is_replaced(&error) => other(error).into_future(),
                    (ended, _) => return Poll::Ready(ended),
                },
                OrElseProj::Other { other } => return other.poll(cx),
            };
            self.set(Self::Other { other: next });
        }
    }
}

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

use std::future::{Future, IntoFuture};
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
/// A durable run records the failed step, and the other step under its own key, so a resumed run takes the same path.
/// There is one exception, a refusal by a workflow's hook after the step: the run has recorded the step's value by
/// then, and a resumed run gets that value.
pub trait Fallback<T, E>: IntoFuture<Output = Result<T, Error<E>>> + Sized {
    /// Returns `value` if the step fails.
    fn or_value(self, value: T) -> OrValue<Self::IntoFuture, T> {
        OrValue { step: self.into_future(), value: Some(value) }
    }

    /// Returns the result of `value` for the failure.
    fn or_value_of<F: FnOnce(Error<E>) -> T>(self, value: F) -> OrValueOf<Self::IntoFuture, F> {
        OrValueOf { step: self.into_future(), value: Some(value) }
    }

    /// Returns the result of `other` if the step fails. `other` receives the failure and usually returns another step.
    fn or_else<F, S>(self, other: F) -> OrElse<Self::IntoFuture, F, S::IntoFuture>
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
    /// A step with a value for its failure. Created by [`Fallback::or_value`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct OrValue<S, T> {
        #[pin]
        step: S,
        value: Option<T>,
    }
}

impl<S: Future<Output = Result<T, Error<E>>>, T, E> Future for OrValue<S, T> {
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.step.poll(cx)) {
            Err(error) if is_replaced(&error) => this.value.take().ok_or(error),
            ended => ended,
        })
    }
}

pin_project! {
    /// A step with a function for its failure. Created by [`Fallback::or_value_of`].
    #[must_use = "futures do nothing unless polled"]
    pub struct OrValueOf<S, F> {
        #[pin]
        step: S,
        value: Option<F>,
    }
}

impl<S, F, T, E> Future for OrValueOf<S, F>
where
    S: Future<Output = Result<T, Error<E>>>,
    F: FnOnce(Error<E>) -> T,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match (ready!(this.step.poll(cx)), this.value.take()) {
            (Err(error), Some(value)) if is_replaced(&error) => Ok(value(error)),
            (ended, _) => ended,
        })
    }
}

pin_project! {
    /// A step with another step for its failure. Created by [`Fallback::or_else`].
    #[project = OrElseProj]
    #[must_use = "futures do nothing unless polled"]
    pub enum OrElse<S, F, O> {
        #[doc(hidden)]
        First { #[pin] step: S, other: Option<F> },
        #[doc(hidden)]
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

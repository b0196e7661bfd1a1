use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use super::frame::Destination;
use crate::error::RunError;
use crate::retry::{Retry, Rules};
use crate::store::{Transactional, Tx};

/// The attempts of a step, which call the operation `F`: `()` makes a single attempt, a [`Retry`] makes several, and an
/// [`InTransaction`](super::InTransaction) calls the operation with a transaction.
///
/// Without a retry, the operation may move its captured values. Do not implement this trait.
#[diagnostic::on_unimplemented(
    message = "`{F}` cannot be the operation of this step",
    label = "this step's operation",
    note = "an operation is a closure that returns a future of a `Result<T, E>` where `E: Display`: `|| api.charge(&hold)`",
    note = "with `retry` it is called several times, so it must not move what it captures: clone inside of it, or take a reference"
)]
pub trait Invoke<F> {
    /// The value of a successful operation.
    type Value;
    /// The error of a failed operation.
    type Error: fmt::Display;
    /// The future of one attempt.
    type Attempt: Future<Output = Result<Self::Value, Self::Error>>;
    /// The judgement of the retry policy about an error.
    type Rules: Rules<Self::Error>;
    /// If `true`, an attempt records its own value before it ends.
    #[doc(hidden)]
    const COMMITS: bool = false;

    /// Returns the retry policy. Without one, the step has a single attempt.
    fn policy(&self) -> Option<&Retry<Self::Rules>>;

    /// Begins an attempt. Returns `None` if the operation cannot be called again. An attempt that
    /// [`COMMITS`](Self::COMMITS) receives the `destination` of its value.
    #[doc(hidden)]
    fn invoke(&self, operation: &mut Option<F>, destination: Option<Destination>) -> Option<Self::Attempt>;

    /// Returns the error that ends a pending attempt: the error of `limits`, unless the store may already have the
    /// value.
    #[doc(hidden)]
    #[inline]
    fn poll_end(_: Pin<&mut Self::Attempt>, limits: impl FnOnce() -> Poll<RunError>) -> Poll<RunError> {
        limits()
    }
}

/// The attempts of a step, which a retry policy changes: `()`, a [`Retry`], or an
/// [`InTransaction`](super::InTransaction). Do not implement this trait.
pub trait Repeat {
    /// The type after the change to the policy `P`.
    type Again<P>;
    /// Sets the retry policy.
    fn again<P>(self, policy: Retry<P>) -> Self::Again<P>;
}

impl Repeat for () {
    type Again<P> = Retry<P>;

    fn again<P>(self, policy: Retry<P>) -> Retry<P> {
        policy
    }
}

impl<Q> Repeat for Retry<Q> {
    type Again<P> = Retry<P>;

    fn again<P>(self, policy: Retry<P>) -> Retry<P> {
        policy
    }
}

#[diagnostic::do_not_recommend]
impl<F, Fut, T, E> Invoke<F> for ()
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    type Value = T;
    type Error = E;
    type Attempt = Fut;
    type Rules = ();

    #[inline]
    fn policy(&self) -> Option<&Retry> {
        None
    }

    #[inline]
    fn invoke(&self, operation: &mut Option<F>, _: Option<Destination>) -> Option<Fut> {
        operation.take().map(|operation| operation())
    }
}

#[diagnostic::do_not_recommend]
impl<F, Fut, T, E, P> Invoke<F> for Retry<P>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display,
    P: Rules<E>,
{
    type Value = T;
    type Error = E;
    type Attempt = Fut;
    type Rules = P;

    #[inline]
    fn policy(&self) -> Option<&Self> {
        Some(self)
    }

    #[inline]
    fn invoke(&self, operation: &mut Option<F>, _: Option<Destination>) -> Option<Fut> {
        operation.as_mut().map(|operation| operation())
    }
}

/// Returns the closure of a step that is called once. This bound allows the closure to borrow mutably and to move.
pub fn once<F: FnOnce() -> Fut, Fut: Future>(operation: F) -> F {
    operation
}

/// Returns `operation` unchanged: the closure of a step without a retry, which is called once with a transaction. The
/// store argument only determines the type of the transaction.
pub fn once_in<S: Transactional, F: FnOnce(Tx<S::Transaction>) -> Fut, Fut: Future>(
    _: &S,
    operation: F,
) -> F {
    operation
}

/// Returns `operation` unchanged: the closure of a step with `retry` or `policy`, which is called with a new
/// transaction for each attempt. Each attempt calls its own clone of the closure. The store argument only determines
/// the type of the transaction.
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

//! Calls through a guard, without a step: the caller's own error stays as it is, beside a typed refusal.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use awaitly_core::guard::{Admission, Guard, Pass, Verdict};
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};

/// The error of a call that did not succeed.
///
/// ```
/// use awaitly_resilience::CallError;
///
/// #[derive(Debug)]
/// enum PaymentError { Declined, Down }
///
/// fn mine<R>(error: CallError<PaymentError, R>) -> PaymentError {
///     error.or(|_refused| PaymentError::Down)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallError<E, R> {
    /// The operation ran and returned this error.
    Failed(E),
    /// The guard refused the call, and the operation did not run.
    Refused(R),
}

impl<E, R> CallError<E, R> {
    /// Returns the operation's own error, or the result of `recover` for a refusal.
    pub fn or(self, recover: impl FnOnce(R) -> E) -> E {
        match self {
            Self::Failed(error) => error,
            Self::Refused(refused) => recover(refused),
        }
    }

    /// Returns the operation's own error, if the operation ran.
    ///
    /// ```
    /// use awaitly_resilience::{CallError, circuit_breaker::Tripped};
    ///
    /// let declined: CallError<&str, Tripped> = CallError::Failed("declined");
    /// assert!(!declined.is_refused());
    /// assert_eq!(declined.failed(), Some("declined"));
    /// ```
    pub fn failed(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Refused(_) => None,
        }
    }

    /// Returns whether the guard refused the call.
    pub const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl<E: fmt::Display, R: fmt::Display> fmt::Display for CallError<E, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl<E: std::error::Error, R: std::error::Error> std::error::Error for CallError<E, R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Refused(refused) => refused.source(),
        }
    }
}

/// Calls an operation through a guard, without a step.
///
/// It is implemented for references to guards, so `breaker.call(charge)` borrows the breaker; for
/// [`Costing`](crate::rate_limiter::Costing); and for two guards in a tuple.
///
/// ```
/// use awaitly_resilience::{CallError, CircuitBreaker, GuardExt, RateLimiter};
///
/// # async fn search(_: &str) -> Result<u32, std::fmt::Error> { Ok(7) }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let (breaker, limiter) = (CircuitBreaker::new("search"), RateLimiter::per_second("search", 10));
/// assert_eq!(breaker.call(|| search("tea")).await, Ok(7));
/// assert_eq!((&limiter, &breaker).call(|| search("mug")).await, Ok(7));
///
/// breaker.open();
/// match breaker.call(|| search("pot")).await {
///     Err(CallError::Refused(tripped)) => assert_eq!(&*tripped.name, "search"),
///     other => panic!("{other:?}"),
/// }
/// # });
/// ```
pub trait GuardExt<E>: Guard<E> + Sized {
    /// Calls `operation` once the guard admits it, and reports the outcome to the guard.
    ///
    /// # Errors
    /// Returns [`CallError::Failed`] with the operation's own error, or [`CallError::Refused`] with the guard's refusal
    /// if the guard did not admit the operation.
    ///
    /// # Panics
    /// Panics if the call has to wait for time to pass, at a rate limiter or a paused throttle, and there is neither a
    /// clock in the guard's options nor a tokio runtime with its timer.
    ///
    /// # Cancel safety
    /// Dropping the future releases its place in the queue. If the operation is already running, it is dropped too, and
    /// the guard counts the call neither as a success nor as a failure. Another call can then use the slot of a limiter
    /// or the place of a probe that the call had, but a token stays spent.
    #[inline]
    fn call<T, F, Fut>(self, operation: F) -> impl Future<Output = Result<T, CallError<E, Self::Refused>>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Call::new(self, operation)
    }
}

impl<'a, G: ?Sized, E> GuardExt<E> for &'a G where &'a G: Guard<E> {}

impl<A, B, E> GuardExt<E> for (A, B) where Self: Guard<E> {}

/// Begins an admitted operation. Closures implement it.
pub(crate) trait Begin<Fut> {
    /// Begins the operation.
    fn begin(self) -> Fut;
}

impl<F: FnOnce() -> Fut, Fut> Begin<Fut> for F {
    #[inline]
    fn begin(self) -> Fut {
        self()
    }
}

pin_project! {
    /// The future of a guarded call.
    pub(crate) struct Call<G, F, Fut, E>
    where
        G: Guard<E>,
    {
        guard: G,
        operation: Option<F>,
        #[pin]
        state: State<G::Wait, G::Pass, Fut>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<W, P, Fut> {
        Start,
        Waiting { #[pin] wait: W },
        Running { #[pin] running: Fut, pass: Option<P> },
        Done,
    }
}

impl<G: Guard<E>, F, Fut, E> Call<G, F, Fut, E> {
    #[inline]
    pub(crate) const fn new(guard: G, operation: F) -> Self {
        Self { guard, operation: Some(operation), state: State::Start }
    }
}

impl<G, F, Fut, T, E> Future for Call<G, F, Fut, E>
where
    G: Guard<E>,
    F: Begin<Fut>,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, CallError<E, G::Refused>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let pass = match this.state.as_mut().project() {
                StateProj::Start => match this.guard.enter() {
                    Admission::Admitted(pass) => pass,
                    Admission::Refused(refused) => return Poll::Ready(Err(CallError::Refused(refused))),
                    Admission::Wait(wait) => {
                        this.state.set(State::Waiting { wait });
                        continue;
                    }
                },
                StateProj::Waiting { wait } => match ready!(wait.poll(cx)) {
                    Ok(pass) => pass,
                    Err(refused) => return Poll::Ready(Err(CallError::Refused(refused))),
                },
                StateProj::Running { running, pass } => {
                    // If the operation panics, the unwinding drops the pass.
                    let held = pass.take();
                    let Poll::Ready(ended) = running.poll(cx) else {
                        *pass = held;
                        return Poll::Pending;
                    };
                    let pass = held;
                    // Drop the operation before its pass gives the place back.
                    this.state.set(State::Done);
                    if let Some(pass) = pass {
                        pass.leave(match &ended {
                            Ok(_) => Verdict::Succeeded,
                            Err(error) => Verdict::Failed(error),
                        });
                    }
                    return Poll::Ready(ended.map_err(CallError::Failed));
                }
                StateProj::Done => return Poll::Pending,
            };
            // The guard admits the call once, and until then the operation is here.
            let Some(operation) = this.operation.take() else { return Poll::Pending };
            this.state.set(State::Running { running: operation.begin(), pass: Some(pass) });
        }
    }
}

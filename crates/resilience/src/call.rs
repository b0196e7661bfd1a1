//! One call through a policy, without a step: the caller's own error stays what it is, beside a refusal.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use awaitly_core::guard::{Pass, Refusal, Verdict};
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};

/// What a call ends in that did not succeed.
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
    /// The operation was called, and this is its own error.
    Failed(E),
    /// The operation was not called.
    Refused(R),
}

impl<E, R> CallError<E, R> {
    /// The operation's own error, or what `recover` makes of a refusal.
    pub fn or(self, recover: impl FnOnce(R) -> E) -> E {
        match self {
            Self::Failed(error) => error,
            Self::Refused(refused) => recover(refused),
        }
    }

    /// The operation's own error, where it was called.
    pub fn failed(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Refused(_) => None,
        }
    }

    /// Whether the operation was not called.
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

/// What a guard says to somebody who asks to be admitted.
#[derive(Debug)]
pub enum Admission<P, R, W> {
    /// Go.
    Now(P),
    /// Do not go.
    Refused(R),
    /// This says which, later.
    Wait(W),
}

impl<P, R, W: Future<Output = Result<P, R>>> Admission<P, R, W> {
    /// Which of the two it is, now or later.
    pub(crate) async fn answer(self) -> Result<P, R> {
        match self {
            Self::Now(pass) => Ok(pass),
            Self::Refused(refused) => Err(refused),
            Self::Wait(waiting) => waiting.await,
        }
    }
}

/// A guard that says why it refuses with a type of its own.
///
/// The policies of this crate implement it, and with it [`Guard`](awaitly_core::guard::Guard), which is what a step
/// asks for. You call it through their `call`.
pub trait Admit<E> {
    /// What an admitted call holds while it runs.
    type Pass: Pass<E>;
    /// Why a call is refused.
    type Refused: Into<Refusal>;
    /// The wait to be admitted. Dropping it gives the place in the queue back.
    type Waiting: Future<Output = Result<Self::Pass, Self::Refused>>;

    /// Asks to be admitted.
    fn admit(&self) -> Admission<Self::Pass, Self::Refused, Self::Waiting>;
}

/// The wait at a guard that never lets anybody wait. There is none.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct NoWait<P, R>(Infallible, PhantomData<fn() -> (P, R)>);

impl<P, R> Future for NoWait<P, R> {
    type Output = Result<P, R>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0 {}
    }
}

pin_project! {
    /// The wait of a step to be admitted.
    #[project = EnteringProj]
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub enum Entering<P, R, W> {
        #[doc(hidden)]
        Answered { answer: Option<Result<P, R>> },
        #[doc(hidden)]
        Waiting { #[pin] waiting: W },
    }
}

impl<P, R, W> Entering<P, R, W> {
    pub(crate) fn new(admission: Admission<P, R, W>) -> Self {
        match admission {
            Admission::Now(pass) => Self::Answered { answer: Some(Ok(pass)) },
            Admission::Refused(refused) => Self::Answered { answer: Some(Err(refused)) },
            Admission::Wait(waiting) => Self::Waiting { waiting },
        }
    }
}

impl<P, R: Into<Refusal>, W: Future<Output = Result<P, R>>> Future for Entering<P, R, W> {
    type Output = Result<P, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match self.project() {
            // It is polled once.
            EnteringProj::Answered { answer } => answer.take().map_or(Poll::Pending, Poll::Ready),
            EnteringProj::Waiting { waiting } => waiting.poll(cx),
        };
        answer.map_err(Into::into)
    }
}

/// Lets a step pass through what can [`Admit`].
macro_rules! guards {
    ($(impl[$($generics:tt)*] $guard:ty;)+) => {$(
        impl<$($generics)* E> awaitly_core::guard::Guard<E> for $guard
        where
            Self: $crate::call::Admit<E>,
        {
            type Pass = <Self as $crate::call::Admit<E>>::Pass;
            type Entering = $crate::call::Entering<
                <Self as $crate::call::Admit<E>>::Pass,
                <Self as $crate::call::Admit<E>>::Refused,
                <Self as $crate::call::Admit<E>>::Waiting,
            >;

            fn enter(&self) -> Self::Entering {
                $crate::call::Entering::new($crate::call::Admit::admit(self))
            }

            #[inline]
            fn try_enter(&self) -> Result<Self::Pass, Self::Entering> {
                match $crate::call::Admit::admit(self) {
                    $crate::call::Admission::Now(pass) => Ok(pass),
                    admission => Err($crate::call::Entering::new(admission)),
                }
            }
        }
    )+};
}
pub(crate) use guards;

/// What an admitted call begins with: a closure, as a rule.
pub trait Begin<Fut> {
    /// Begins.
    fn begin(self) -> Fut;
}

impl<F: FnOnce() -> Fut, Fut> Begin<Fut> for F {
    #[inline]
    fn begin(self) -> Fut {
        self()
    }
}

pin_project! {
    /// A call on its way. Made by the `call` of a policy.
    ///
    /// # Cancel safety
    /// Dropping it drops the operation, or gives the place in the queue back. The policy counts it as nothing.
    #[must_use = "futures do nothing unless polled"]
    pub struct Call<A, F, Fut, E>
    where
        A: Admit<E>,
    {
        guard: A,
        operation: Option<F>,
        #[pin]
        state: State<A::Waiting, A::Pass, Fut>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<W, P, Fut> {
        Start,
        Waiting { #[pin] waiting: W },
        Running { #[pin] running: Fut, pass: Option<P> },
        Done,
    }
}

impl<A: Admit<E>, F, Fut, E> Call<A, F, Fut, E> {
    #[inline]
    pub(crate) const fn new(guard: A, operation: F) -> Self {
        Self { guard, operation: Some(operation), state: State::Start }
    }
}

impl<A, F, Fut, T, E> Future for Call<A, F, Fut, E>
where
    A: Admit<E>,
    F: Begin<Fut>,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, CallError<E, A::Refused>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let pass = match this.state.as_mut().project() {
                StateProj::Start => match this.guard.admit() {
                    Admission::Now(pass) => pass,
                    Admission::Refused(refused) => return Poll::Ready(Err(CallError::Refused(refused))),
                    Admission::Wait(waiting) => {
                        this.state.set(State::Waiting { waiting });
                        continue;
                    }
                },
                StateProj::Waiting { waiting } => match ready!(waiting.poll(cx)) {
                    Ok(pass) => pass,
                    Err(refused) => return Poll::Ready(Err(CallError::Refused(refused))),
                },
                StateProj::Running { running, pass } => {
                    // Where the operation panics, the pass goes with it.
                    let held = pass.take();
                    let Poll::Ready(ended) = running.poll(cx) else {
                        *pass = held;
                        return Poll::Pending;
                    };
                    let pass = held;
                    // The operation is gone before its place is given back.
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
            // An admission is given once, and then the operation is still there.
            let Some(operation) = this.operation.take() else { return Poll::Pending };
            this.state.set(State::Running { running: operation.begin(), pass: Some(pass) });
        }
    }
}

impl<A: Admit<E>, F, Fut, E> fmt::Debug for Call<A, F, Fut, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

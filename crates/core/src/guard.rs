//! What an attempt passes through: breakers, limiters, and guards of your own.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready as poll_ready};
use std::time::Duration;

use pin_project_lite::pin_project;

/// Lets attempts pass, or refuses them.
///
/// A guard is entered once per attempt, inside the retry and inside the attempt's timeout. Its [`Pass`]
/// is held while the operation runs and learns how it went. A refusal becomes
/// [`RunError::Refused`](crate::RunError::Refused). It is no attempt: a step with a retry asks again, not before its
/// `retry_after`, for as long as [`Retry::refused_for`](crate::Retry::refused_for) says.
///
/// ```
/// use std::future::{Ready, ready};
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use awaitly_core::guard::{Guard, Refusal};
///
/// /// Lets a fixed number of attempts pass.
/// struct Allowance(AtomicU32);
///
/// impl<E> Guard<E> for &Allowance {
///     type Pass = ();
///     type Entering = Ready<Result<(), Refusal>>;
///
///     fn enter(&self) -> Self::Entering {
///         let took = self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
///         ready(took.map(drop).map_err(|_| Refusal::new("allowance", "used up")))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not guard a step whose error is `{E}`",
    note = "a guard implements `awaitly::guard::Guard<E>`, often for a reference to itself: write `guard = &breaker`"
)]
pub trait Guard<E> {
    /// What an admitted attempt holds while it runs.
    type Pass: Pass<E>;
    /// The wait to be admitted. Dropping it gives the place in the queue back.
    type Entering: Future<Output = Result<Self::Pass, Refusal>>;

    /// Asks to be admitted.
    fn enter(&self) -> Self::Entering;

    /// Admits at once, where the guard can say so without waiting; else gives the wait, or the refusal. This is what
    /// a step calls.
    ///
    /// # Errors
    /// What [`enter`](Self::enter) gives.
    ///
    /// # Default
    /// Always the wait.
    fn try_enter(&self) -> Result<Self::Pass, Self::Entering> {
        Err(self.enter())
    }
}

/// Held by an admitted attempt while it runs.
///
/// Dropping it without [`leave`](Self::leave) means that the attempt was cancelled, which counts as
/// nothing.
pub trait Pass<E>: Sized {
    /// The attempt came to an end.
    fn leave(self, verdict: Verdict<'_, E>) {
        let _ = verdict;
    }
}

/// How an admitted attempt ended.
#[derive(Debug)]
pub enum Verdict<'a, E> {
    /// With a value.
    Succeeded,
    /// With the operation's own error.
    Failed(&'a E),
    /// It took longer than an attempt may and was dropped. One that had to wait at its guards for most of that time
    /// counts as cancelled instead.
    TimedOut,
}

/// A guard's or hook's no.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Who refuses.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// How long to wait before it is worth asking again, where the guard knows.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal by `by`, for that reason.
    pub fn new(by: impl Into<Box<str>>, reason: impl Into<Box<str>>) -> Self {
        Self { by: by.into(), reason: reason.into(), retry_after: None }
    }

    /// Says when it is worth asking again.
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// No guard: everything passes.
impl<E> Guard<E> for () {
    type Pass = ();
    type Entering = Ready<Result<(), Refusal>>;

    #[inline]
    fn enter(&self) -> Self::Entering {
        ready(Ok(()))
    }

    #[inline]
    fn try_enter(&self) -> Result<(), Self::Entering> {
        Ok(())
    }
}

impl<E> Pass<E> for () {}

/// Two guards, the first one outside: it is entered first and left last. The second one must be `Clone`, as a
/// reference is.
#[derive(Debug, Clone, Copy)]
pub struct Both<A, B>(pub(crate) A, pub(crate) B);

impl<A, B> Both<A, B> {
    /// `outer` is entered first.
    pub const fn new(outer: A, inner: B) -> Self {
        Self(outer, inner)
    }
}

impl<E, A: Guard<E>, B: Guard<E> + Clone> Guard<E> for Both<A, B> {
    type Pass = Passes<A::Pass, B::Pass>;
    type Entering = EnteringBoth<E, A, B>;

    fn enter(&self) -> Self::Entering {
        EnteringBoth::First { entering: self.0.enter(), then: Some(self.1.clone()) }
    }

    #[inline]
    fn try_enter(&self) -> Result<Self::Pass, Self::Entering> {
        let outer = match self.0.try_enter() {
            Ok(outer) => outer,
            Err(entering) => return Err(EnteringBoth::First { entering, then: Some(self.1.clone()) }),
        };
        match self.1.try_enter() {
            Ok(inner) => Ok(Passes { inner, outer }),
            Err(entering) => Err(EnteringBoth::Second { entering, first: Some(outer) }),
        }
    }
}

/// What an attempt holds that two guards admitted. The inner one is left, or dropped, first.
#[derive(Debug)]
pub struct Passes<A, B> {
    inner: B,
    outer: A,
}

impl<E, A: Pass<E>, B: Pass<E>> Pass<E> for Passes<A, B> {
    fn leave(self, verdict: Verdict<'_, E>) {
        self.inner.leave(match &verdict {
            Verdict::Succeeded => Verdict::Succeeded,
            Verdict::Failed(error) => Verdict::Failed(*error),
            Verdict::TimedOut => Verdict::TimedOut,
        });
        self.outer.leave(verdict);
    }
}

pin_project! {
    /// The wait to be admitted by one guard and then by another.
    #[project = EnteringBothProj]
    pub enum EnteringBoth<E, A, B>
    where
        A: Guard<E>,
        B: Guard<E>,
    {
        #[doc(hidden)]
        First { #[pin] entering: A::Entering, then: Option<B> },
        #[doc(hidden)]
        Second { #[pin] entering: B::Entering, first: Option<A::Pass> },
    }
}

impl<E, A: Guard<E>, B: Guard<E>> Future for EnteringBoth<E, A, B> {
    type Output = Result<Passes<A::Pass, B::Pass>, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                EnteringBothProj::First { entering, then } => {
                    let first = match poll_ready!(entering.poll(cx)) {
                        Ok(pass) => pass,
                        Err(refusal) => return Poll::Ready(Err(refusal)),
                    };
                    let Some(then) = then.take() else {
                        return Poll::Pending;
                    };
                    match then.try_enter() {
                        Ok(inner) => return Poll::Ready(Ok(Passes { inner, outer: first })),
                        Err(entering) => Self::Second { entering, first: Some(first) },
                    }
                }
                EnteringBothProj::Second { entering, first } => {
                    let second = poll_ready!(entering.poll(cx));
                    let Some(first) = first.take() else {
                        return Poll::Pending;
                    };
                    return Poll::Ready(second.map(|inner| Passes { inner, outer: first }));
                }
            };
            self.set(next);
        }
    }
}

//! Guards: checks that admit or refuse the attempts of a step, such as breakers and limiters.

mod admission;
mod both;
mod from_fn;

use std::time::Duration;

pub use admission::{Admission, NoWait};
pub use both::{Both, Passes, WaitBoth};
pub use from_fn::{FromFn, from_fn};

pub(crate) use admission::EnteringOf;

/// A check that admits or refuses attempts.
///
/// A step enters its guards once per attempt, inside the retry and inside the attempt's timeout. It holds the
/// guard's [`Pass`] while the operation runs, and the pass learns how the attempt ended. A refusal becomes
/// [`RunError::Refused`](crate::RunError::Refused). It is no attempt: a step with a retry asks again, not before the
/// refusal's `retry_after`, for as long as [`Retry::refused_for`](crate::Retry::refused_for) says.
///
/// [`from_fn`] makes a guard from a function. Implement the trait for a guard that lets attempts wait. Guards are cloned, so
/// the trait is often implemented for a reference:
///
/// ```
/// use std::pin::Pin;
/// use awaitly_core::guard::{Admission, Guard, Pass, Refusal};
/// use tokio::sync::{Semaphore, SemaphorePermit};
///
/// /// Admits as many attempts at once as the semaphore has permits; the others wait.
/// struct Door(Semaphore);
///
/// struct Inside<'a>(SemaphorePermit<'a>);
///
/// impl<E> Pass<E> for Inside<'_> {}
///
/// impl<'a, E> Guard<E> for &'a Door {
///     type Pass = Inside<'a>;
///     type Refused = Refusal;
///     type Wait = Pin<Box<dyn Future<Output = Result<Inside<'a>, Refusal>> + Send + 'a>>;
///
///     fn enter(&self) -> Admission<Self::Pass, Refusal, Self::Wait> {
///         let door = *self;
///         match door.0.try_acquire() {
///             Ok(permit) => Admission::Admitted(Inside(permit)),
///             Err(_) => Admission::Wait(Box::pin(async {
///                 let permit = door.0.acquire().await;
///                 permit.map(Inside).map_err(|_| Refusal::new("door", "locked"))
///             })),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not guard a step whose error is `{E}`",
    note = "a guard implements `awaitly::guard::Guard<E>`, often for a reference to itself: write `guard = &breaker`",
    note = "a function is a guard by way of `awaitly::guard::from_fn`"
)]
pub trait Guard<E> {
    /// Held by an admitted attempt while it runs.
    type Pass: Pass<E>;
    /// The reason of a refusal. A step turns it into a [`Refusal`]; `awaitly::resilience::GuardExt` returns it as it is.
    type Refused: Into<Refusal>;
    /// The wait to be admitted; [`NoWait`] if the guard answers at once. Dropping it gives the place in the queue back.
    type Wait: Future<Output = Result<Self::Pass, Self::Refused>>;

    /// Asks for admission.
    fn enter(&self) -> Admission<Self::Pass, Self::Refused, Self::Wait>;
}

/// Held by an admitted attempt while it runs.
///
/// Dropping it without [`leave`](Self::leave) means that the attempt was cancelled, which counts neither as a success
/// nor as a failure.
pub trait Pass<E>: Sized {
    /// Learns how the attempt ended.
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

/// The refusal of a guard or a hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{by}` refused: {reason}")]
#[non_exhaustive]
pub struct Refusal {
    /// The name of the guard.
    pub by: Box<str>,
    /// The reason.
    pub reason: Box<str>,
    /// How long to wait before it is worth asking again, if the guard knows.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Creates a refusal by the guard called `by`.
    pub fn new(by: impl Into<Box<str>>, reason: impl Into<Box<str>>) -> Self {
        Self { by: by.into(), reason: reason.into(), retry_after: None }
    }

    /// Sets the time after which it is worth asking again.
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// No guard: admits every attempt.
impl<E> Guard<E> for () {
    type Pass = ();
    type Refused = Refusal;
    type Wait = NoWait<(), Refusal>;

    #[inline]
    fn enter(&self) -> Admission<(), Refusal> {
        Admission::Admitted(())
    }
}

impl<E> Pass<E> for () {}

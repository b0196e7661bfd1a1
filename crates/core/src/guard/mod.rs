//! Guards: checks that admit or refuse the attempts of a step, such as breakers and limiters.

mod admission;
mod both;

use std::future::Pending;
use std::time::Duration;

pub use admission::Admission;
pub use both::WaitBoth;

pub(crate) use admission::EnteringOf;

/// A check that admits or refuses attempts.
///
/// A step enters its guards once per attempt, inside the retry and inside the attempt's timeout. It holds the guard's
/// [`Pass`] while the operation runs, and the pass receives the result of the attempt. A refusal becomes
/// [`RunError::Refused`](crate::RunError::Refused) and does not count as an attempt: a step with a retry asks again, no
/// earlier than the refusal's `retry_after` and within the time of [`Retry::refused_for`](crate::Retry::refused_for).
///
/// A function that returns `Ok` or a refusal is a guard. Two guards in a tuple are a guard too, and a step with several
/// guards holds them in nested tuples.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use awaitly_core::guard::Refusal;
/// # use awaitly_core::{RunError, run, step};
/// # async fn send() -> Result<u32, RunError> { Ok(7) }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let left = AtomicU32::new(1);
/// let allowance = || match left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
///     Ok(_) => Ok(()),
///     Err(_) => Err(Refusal::new("allowance", "used up")),
/// };
///
/// let sent = run(async |run| {
///     step!(run, guard = &allowance, send());
///     Ok::<_, RunError>(step!(run, "once more", guard = &allowance, send()))
/// });
/// assert!(matches!(sent.await, Err(RunError::Refused { by, .. }) if &*by == "allowance"));
/// # });
/// ```
///
/// Implement the trait for a guard that lets attempts wait. The library clones guards, so the trait is often implemented
/// for a reference:
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
    note = "a function is a guard if it returns `Ok` with a pass, for example `()`, or a refusal"
)]
pub trait Guard<E> {
    /// The pass of an admitted attempt, held while the attempt runs.
    type Pass: Pass<E>;
    /// The reason for a refusal. A step converts it into a [`Refusal`]; `awaitly::resilience::GuardExt` returns it
    /// unchanged.
    type Refused: Into<Refusal>;
    /// The wait for admission; [`Pending`] if the guard answers at once. Dropping it frees its place in the queue.
    type Wait: Future<Output = Result<Self::Pass, Self::Refused>>;

    /// Asks for admission.
    fn enter(&self) -> Admission<Self::Pass, Self::Refused, Self::Wait>;
}

/// The pass of an admitted attempt, held while the attempt runs.
///
/// Dropping a pass without [`leave`](Self::leave) means that the attempt was cancelled, which counts neither as a
/// success nor as a failure.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use awaitly_core::guard::{Pass, Refusal, Verdict};
///
/// /// Counts failures.
/// struct Watched<'a>(&'a AtomicU32);
///
/// impl<E> Pass<E> for Watched<'_> {
///     fn leave(self, verdict: Verdict<'_, E>) {
///         if let Verdict::Failed(_) | Verdict::TimedOut = verdict {
///             self.0.fetch_add(1, Relaxed);
///         }
///     }
/// }
///
/// let failures = AtomicU32::new(0);
/// let at_most_three = || match failures.load(Relaxed) {
///     0..3 => Ok(Watched(&failures)),
///     _ => Err(Refusal::new("service", "it failed three times")),
/// };
/// ```
pub trait Pass<E>: Sized {
    /// Receives the result of the attempt.
    fn leave(self, verdict: Verdict<'_, E>) {
        let _ = verdict;
    }
}

/// The result of an admitted attempt.
#[derive(Debug)]
pub enum Verdict<'a, E> {
    /// The attempt returned a value.
    Succeeded,
    /// The attempt returned the operation's own error.
    Failed(&'a E),
    /// The attempt exceeded its timeout and was dropped. If it spent most of that time waiting at its guards, it counts
    /// as cancelled instead.
    TimedOut,
}

/// The refusal of a guard or a hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{by}` refused: {reason}")]
#[non_exhaustive]
pub struct Refusal {
    /// The name of the guard or hook.
    pub by: Box<str>,
    /// The reason.
    pub reason: Box<str>,
    /// The time to wait before another request can succeed, if the guard knows it.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Creates a refusal by the guard with the name `by`.
    pub fn new(by: impl Into<Box<str>>, reason: impl Into<Box<str>>) -> Self {
        Self { by: by.into(), reason: reason.into(), retry_after: None }
    }

    /// Sets the time to wait before another request can succeed.
    ///
    /// ```
    /// use awaitly_core::{clock::secs, guard::Refusal};
    ///
    /// let closed = Refusal::new("shop", "closed for lunch").with_retry_after(secs(1800));
    /// assert_eq!(closed.to_string(), "`shop` refused: closed for lunch");
    /// ```
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// `()` admits every attempt.
#[diagnostic::do_not_recommend]
impl<E> Guard<E> for () {
    type Pass = ();
    type Refused = Refusal;
    type Wait = Pending<Result<(), Refusal>>;

    #[inline]
    fn enter(&self) -> Admission<(), Refusal> {
        Admission::Admitted(())
    }
}

impl<E> Pass<E> for () {}

#[diagnostic::do_not_recommend]
impl<E, F, P, R> Guard<E> for F
where
    F: Fn() -> Result<P, R>,
    P: Pass<E>,
    R: Into<Refusal>,
{
    type Pass = P;
    type Refused = R;
    type Wait = Pending<Result<P, R>>;

    #[inline]
    fn enter(&self) -> Admission<P, R> {
        self().into()
    }
}

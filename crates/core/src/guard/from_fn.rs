use std::fmt;

use super::{Admission, Guard, NoWait, Pass, Refusal};

/// Creates a guard from a function that admits an attempt with `Ok`, or refuses it with `Err`.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use awaitly_core::guard::{self, Refusal};
/// # use awaitly_core::{RunError, run, step};
/// # async fn send() -> Result<u32, RunError> { Ok(7) }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let left = AtomicU32::new(1);
/// let allowance = guard::from_fn(|| match left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
///     Ok(_) => Ok(()),
///     Err(_) => Err(Refusal::new("allowance", "used up")),
/// });
///
/// let sent = run(async |run| {
///     step!(run, guard = &allowance, send());
///     Ok::<_, RunError>(step!(run, "once more", guard = &allowance, send()))
/// });
/// assert!(matches!(sent.await, Err(RunError::Refused { by, .. }) if &*by == "allowance"));
/// # });
/// ```
///
/// The value of `Ok` is the [`Pass`], which receives the result of the attempt:
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use awaitly_core::guard::{self, Pass, Refusal, Verdict};
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
/// let at_most_three = guard::from_fn(|| match failures.load(Relaxed) {
///     0..3 => Ok(Watched(&failures)),
///     _ => Err(Refusal::new("service", "it failed three times")),
/// });
/// ```
pub const fn from_fn<F>(check: F) -> FromFn<F> {
    FromFn(check)
}

/// A function as a guard, created by [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

#[diagnostic::do_not_recommend]
impl<E, F, P, R> Guard<E> for FromFn<F>
where
    F: Fn() -> Result<P, R>,
    P: Pass<E>,
    R: Into<Refusal>,
{
    type Pass = P;
    type Refused = R;
    type Wait = NoWait<P, R>;

    #[inline]
    fn enter(&self) -> Admission<P, R> {
        (self.0)().into()
    }
}

#[diagnostic::do_not_recommend]
impl<E, F, P, R> Guard<E> for &FromFn<F>
where
    F: Fn() -> Result<P, R>,
    P: Pass<E>,
    R: Into<Refusal>,
{
    type Pass = P;
    type Refused = R;
    type Wait = NoWait<P, R>;

    #[inline]
    fn enter(&self) -> Admission<P, R> {
        (self.0)().into()
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}

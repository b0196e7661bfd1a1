use std::fmt;
use std::future::{Future, IntoFuture};
use std::time::Duration;

use serde::Serialize;

use super::execute::StepFuture;
use super::frame::Frame;
use super::invoke::{Invoke, Once, Repeat};
use super::keep::{Ended, Fresh, Keep, Recorded, ValuesOnly};
use super::policy::Policy;
use super::transaction::{Committed, InTransaction};
use crate::guard::{Both, Guard};
use crate::journal::{Fingerprint, Key, OnChange};
use crate::retry::Retry;
use crate::store::{Durability, Transactional};

/// One fallible call, with everything that is said about it.
///
/// Made with [`Run::step`](crate::Run::step). Nothing happens until it is awaited. Awaiting it gives the
/// step's own typed result, `Result<T, Error<E>>`; [`step!`](crate::step!) gives the value, and returns a
/// failure from the surrounding function. The parameters say what is called (`F`), how often (`A`), what
/// is kept (`R`), and through which guards it passes (`G`). A step whose value or error borrows is built on
/// [`Run::borrowing`](crate::Run::borrowing).
///
/// # Cancel safety
/// Dropping the future drops the attempt in flight; none starts after that. On a durable run, an outcome
/// whose recording was in flight is recorded whole or not at all.
///
/// # Resume
/// On a durable run the outcome is recorded under the step's key before the value is handed out: the
/// value, the error, a timeout, a refusal. A resumed run gets the recorded outcome and calls nothing.
///
/// # Examples
/// ```
/// use awaitly_core::{run, Error, RunError};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let looked_at = run(async |run| {
///     match run.step("parse", || async { "x".parse::<u32>() }).await {
///         Ok(number) => Ok(number),
///         Err(Error::Failed(_not_a_number)) => Ok(0),
///         Err(Error::Run(stopped)) => Err(stopped),
///     }
/// })
/// .await;
/// assert_eq!(looked_at, Ok(0));
/// # });
/// ```
#[must_use = "a step does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Step<'r, F, A = Once, R = Fresh, G = ()> {
    pub(super) frame: Frame<'r>,
    operation: F,
    attempts: A,
    keep: R,
    guard: G,
}

impl<'r, F, R> Step<'r, F, Once, R> {
    #[inline]
    pub(crate) const fn new(frame: Frame<'r>, operation: F, keep: R) -> Self {
        Self { frame, operation, attempts: Once, keep, guard: () }
    }
}

impl<'r, F, A, R: Default, G> Step<'r, F, A, R, G> {
    /// A step from its parts.
    pub(crate) fn assemble(frame: Frame<'r>, operation: F, attempts: A, guard: G) -> Self {
        Self { frame, operation, attempts, keep: R::default(), guard }
    }
}

impl<'r, F, A, R, G> Step<'r, F, A, R, G> {
    /// Tries again after a failure, as `policy` says. The operation is called once for each attempt.
    pub fn retry<P>(self, policy: Retry<P>) -> Step<'r, F, A::Again<P>, R, G>
    where
        A: Repeat,
    {
        let Self { frame, operation, attempts, keep, guard } = self;
        Step { frame, operation, attempts: attempts.again(policy), keep, guard }
    }

    /// Drops an attempt that takes longer, which counts as a failure:
    /// [`RunError::Timeout`](crate::RunError::Timeout). The attempt's time includes the wait at its guards.
    ///
    /// # Default
    /// No limit.
    ///
    /// # Panics
    /// With the [`SystemClock`](crate::clock::SystemClock), outside of a tokio runtime with its timer enabled,
    /// when the attempt has to wait. That goes for every limit, delay and sleep.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.frame.set_timeout(timeout);
        self
    }

    /// Ends the step when it takes longer, with all its attempts and the waiting between them. An attempt
    /// that would begin after that is not waited for: the step ends at once, with the failure it has.
    ///
    /// # Default
    /// No limit. The run's own deadline binds as well; the nearest one counts.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.frame.detail().deadline = Some(deadline);
        self
    }

    /// Lets every attempt pass through `guard`: a breaker, a limiter. Called several times, the first
    /// guard is entered first and left last. A guard must be `Clone`, as a reference is.
    pub fn guard<H>(self, guard: H) -> Step<'r, F, A, R, Both<G, H>> {
        let Self { frame, operation, attempts, keep, guard: outer } = self;
        Step { frame, operation, attempts, keep, guard: Both(outer, guard) }
    }

    /// Sets the options that `policy` stands for. Options that are set after it win over it, and it wins over those
    /// that were set before. A policy may call the operation again, so with `policy =` in
    /// [`step!`](crate::step!) it must not move what it captures.
    pub fn policy<P: Policy<Self>>(self, policy: P) -> P::Step {
        policy.apply(self)
    }

    /// Records the outcome under `key` instead of the step's name. A key is used once in a run.
    ///
    /// # Errors
    /// On a durable run, awaiting the step gives [`RunError::DuplicateKey`](crate::RunError::DuplicateKey) where
    /// another step has it, [`RunError::Empty`](crate::RunError::Empty) if it is empty, and
    /// [`RunError::TooLarge`](crate::RunError::TooLarge) if it is longer than [`Key::MAX_BYTES`]. Steps that are not
    /// recorded may share a key.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.frame.set_key(&key.into());
        self
    }

    /// What the recorded outcome survives, where that is not what the workflow says. With
    /// [`Durability::Batched`] the step does not wait for the disk: a crash of the system or a loss of power may
    /// lose its outcome and everything that was recorded in the run after it, never only some out of the middle. What
    /// was lost runs again. On a volatile run it does nothing.
    ///
    /// # Default
    /// What [`Workflow::durability`](crate::Workflow::durability) says, [`Durability::Sync`] unless set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.frame.detail().durability = Some(durability);
        self
    }
}

impl<F, A, R, G> Step<'_, F, A, R, G> {
    pub(crate) const fn frame(&self) -> &Frame<'_> {
        &self.frame
    }

    pub(crate) fn shielded(mut self) -> Self {
        self.frame.shield();
        self
    }
}

impl<'r, A, R, G> Step<'r, (), A, R, G> {
    /// Sets the operation: what `step!` does last.
    #[doc(hidden)]
    #[inline]
    pub fn __operation<F>(self, operation: F) -> Step<'r, F, A, R, G> {
        let Self { frame, attempts, keep, guard, .. } = self;
        Step { frame, operation, attempts, keep, guard }
    }
}

impl<'r, F, A, G> Step<'r, F, A, Recorded, G> {
    /// Keeps only the value: a step that failed runs again when the run is resumed. Its error needs no
    /// serde.
    pub fn rerun_errors(self) -> Step<'r, F, A, ValuesOnly, G> {
        let Self { frame, operation, attempts, guard, .. } = self;
        Step { frame, operation, attempts, keep: ValuesOnly, guard }
    }
}

impl<'r, F, A, G> Step<'r, F, A, Recorded, G> {
    /// Lets the operation work inside of a transaction of `store`, which is that of the run: its value is recorded
    /// in the same commit, so that what it wrote is there exactly when the step is. The operation is a closure that
    /// gets a [`Tx`](crate::store::Tx). With `retry` each attempt has a transaction of its own and a clone of the
    /// closure, so what that captures must be `Clone`.
    ///
    /// An operation that fails, takes too long or is dropped leaves nothing of what it wrote; its error is recorded
    /// as always.
    ///
    /// # Errors
    /// Awaiting the step gives [`RunError::Store`](crate::RunError::Store) where the transaction cannot be begun or
    /// committed; then the run is interrupted, and neither the writes nor the record are there, or, where the
    /// answer was lost, both. [`RunError::Refused`](crate::RunError::Refused) where the operation kept the
    /// transaction or the run has no store.
    ///
    /// # Resume
    /// A step that is recorded is not executed again, and one that is not has left nothing: its effect is exactly
    /// once.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_core::store::{Transactional, Tx};
    ///
    /// async fn debit<T>(tx: Tx<T>, cents: u64) -> Result<u64, RunError> {
    ///     // `tx` derefs to the transaction of the store: write with it.
    ///     Ok(cents)
    /// }
    ///
    /// async fn pay(run: &DurableRun, store: &impl Transactional) -> Result<u64, RunError> {
    ///     let debited = step!(run, "debit", transaction = store, |tx| debit(tx, 4200));
    ///     Ok(debited)
    /// }
    /// ```
    pub fn transaction<S: Transactional>(
        self,
        store: &S,
    ) -> Step<'r, F, InTransaction<'_, S, A>, Committed, G> {
        let Self { frame, operation, attempts, guard, .. } = self;
        Step { frame, operation, attempts: InTransaction { store, attempts }, keep: Committed, guard }
    }
}

impl<F, A, R, G> Step<'_, F, A, R, G> {
    /// Says what the step's outcome depends on. A fingerprint of `value` is recorded, and a resumed run
    /// that comes with another one is stopped, or what [`on_change`](Self::on_change) says.
    ///
    /// # Errors
    /// Awaiting the step gives [`RunError::InputChanged`](crate::RunError::InputChanged), or
    /// [`RunError::Unencodable`](crate::RunError::Unencodable) where `value` has no JSON form. On a volatile
    /// run it does nothing.
    pub fn input<I: Serialize + ?Sized>(mut self, value: &I) -> Self {
        self.frame.detail().input = Some(Fingerprint::of(value));
        self
    }

    /// What happens when a recorded outcome was made from another input.
    ///
    /// # Default
    /// [`OnChange::Fail`]
    pub fn on_change(mut self, policy: OnChange) -> Self {
        self.frame.detail().on_change = policy;
        self
    }
}

/// Something that `step!` executes. It is [`IntoFuture`] under another name: an unmet bound of a step is
/// then told in the words of [`Keep`] and [`Invoke`], where `.await` would only say that it is no future.
pub trait Execute {
    /// What awaiting it gives.
    type Future: Future;
    /// Makes it a future.
    fn execute(self) -> Self::Future;
}

impl<'r, F, A, R, G> Execute for Step<'r, F, A, R, G>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
{
    type Future = StepFuture<'r, F, A, R, G>;

    #[inline]
    fn execute(self) -> Self::Future {
        self.into_future()
    }
}

/// Executes what stands in a macro.
#[inline]
pub fn execute<S: Execute>(step: S) -> S::Future {
    step.execute()
}

impl<'r, F, A, R, G> IntoFuture for Step<'r, F, A, R, G>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
{
    type Output = Ended<A::Value, A::Error>;
    type IntoFuture = StepFuture<'r, F, A, R, G>;

    #[inline]
    fn into_future(self) -> Self::IntoFuture {
        StepFuture::new(self.frame, self.operation, self.attempts, self.guard)
    }
}

impl<F, A: fmt::Debug, R: fmt::Debug, G> fmt::Debug for Step<'_, F, A, R, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", self.frame.name())
            .field("attempts", &self.attempts)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

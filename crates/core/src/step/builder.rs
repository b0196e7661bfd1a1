use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;

use super::execute::StepFuture;
use super::frame::Frame;
use super::invoke::{Invoke, Repeat};
use super::keep::{Durable, Ended, Keep, ValuesOnly, Volatile};
use super::policy::Preset;
use super::transaction::InTransaction;
use super::undo::Undo;
use crate::guard::Guard;
use crate::journal::{Fingerprint, Key, OnChange};
use crate::retry::Retry;
use crate::store::{Durability, Transactional};

/// One fallible call with its options.
///
/// Created by [`Run::step`](crate::Run::step). A step does nothing until it is awaited. Awaiting it returns the step's
/// own typed result, `Result<T, Error<E>>`. [`step!`](crate::step!) returns the value, and returns a failure from the
/// surrounding function. The type parameters state the operation (`F`), its attempts (`A`: `()`, or a [`Retry`]), the
/// recorded part of its outcome (`R`), its guards (`G`), and the part that undoes it (`U`), which only a step of a saga has. If the
/// value or error of a step borrows, build the step on [`Run::borrowing`](crate::Run::borrowing).
///
/// # Cancel safety
/// Dropping the future drops the attempt in flight; no further attempt starts. If a durable run was recording an
/// outcome at that moment, the outcome is recorded completely or not.
///
/// # Resume
/// A durable run records the outcome under the step's key before it returns it: the value, the error, a timeout or a
/// refusal. A resumed run returns the recorded outcome and does not call the operation.
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
pub struct Step<'r, F, A = (), R = Volatile, G = (), U = ()> {
    pub(super) frame: Frame<'r>,
    operation: F,
    attempts: A,
    keep: PhantomData<fn() -> R>,
    guard: G,
    undo: U,
}

impl<'r, F, R> Step<'r, F, (), R> {
    #[inline]
    pub(crate) const fn new(frame: Frame<'r>, operation: F) -> Self {
        Self::assemble(frame, operation, (), (), ())
    }
}

impl<'r, F, A, R, G, U> Step<'r, F, A, R, G, U> {
    /// Creates a step from its parts.
    #[inline]
    pub(crate) const fn assemble(frame: Frame<'r>, operation: F, attempts: A, guard: G, undo: U) -> Self {
        Self { frame, operation, attempts, keep: PhantomData, guard, undo }
    }

    /// Replaces the attempts of the step.
    pub(crate) fn map_attempts<B>(self, change: impl FnOnce(A) -> B) -> Step<'r, F, B, R, G, U> {
        let Self { frame, operation, attempts, guard, undo, .. } = self;
        Step::assemble(frame, operation, change(attempts), guard, undo)
    }

    /// Replaces the part that undoes the step.
    pub(crate) fn map_undo<V>(self, change: impl FnOnce(U) -> V) -> Step<'r, F, A, R, G, V> {
        let Self { frame, operation, attempts, guard, undo, .. } = self;
        Step::assemble(frame, operation, attempts, guard, change(undo))
    }
}

impl<'r, F, A, R, G, U> Step<'r, F, A, R, G, U> {
    /// Retries the step after a failure, as `policy` decides. Each attempt calls the operation once.
    ///
    /// # Default
    /// One attempt.
    pub fn retry<P>(self, policy: Retry<P>) -> Step<'r, F, A::Again<P>, R, G, U>
    where
        A: Repeat,
    {
        self.map_attempts(|attempts| attempts.again(policy))
    }

    /// Limits the time of an attempt. A longer attempt is dropped and fails with
    /// [`RunError::Timeout`](crate::RunError::Timeout). The time of an attempt includes the wait at its guards.
    ///
    /// # Default
    /// No limit.
    ///
    /// # Panics
    /// Panics if the attempt has to wait, the clock is the [`SystemClock`](crate::clock::SystemClock), and the call is
    /// outside a tokio runtime with its timer enabled. This applies to every limit, delay and sleep.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.frame.set_timeout(timeout);
        self
    }

    /// Limits the time of the step with all its attempts and delays. At the deadline, the attempt in flight is dropped,
    /// and the step fails with [`RunError::Timeout`](crate::RunError::Timeout). If the next attempt would begin after
    /// the deadline, the step ends at once with its last failure.
    ///
    /// # Default
    /// No limit. The run's deadline applies too; the earlier of the two counts.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.frame.detail().deadline = Some(deadline);
        self
    }

    /// Adds a guard that every attempt passes, for example a breaker or a limiter. If a step has several guards, an
    /// attempt enters the first one first and leaves it last. A guard must be `Clone`, for example a reference.
    pub fn guard<H>(self, guard: H) -> Step<'r, F, A, R, (G, H), U> {
        let Self { frame, operation, attempts, guard: outer, undo, .. } = self;
        Step::assemble(frame, operation, attempts, (outer, guard), undo)
    }

    /// Sets the options in `policy`. They override options that were set before, and later options override them. A
    /// policy may call the operation several times, so with `policy =` in [`step!`](crate::step!) the operation must
    /// not move its captured values.
    pub fn policy<P: Preset<Self>>(self, policy: P) -> P::Step {
        policy.apply(self)
    }

    /// Records the outcome under `key` instead of the step's name. A run can use a key once.
    ///
    /// # Errors
    /// On a durable run, awaiting the step returns [`RunError::DuplicateKey`](crate::RunError::DuplicateKey) if another
    /// step has the key, [`RunError::Empty`](crate::RunError::Empty) if the key is empty, and
    /// [`RunError::TooLarge`](crate::RunError::TooLarge) if it is longer than [`Key::MAX_BYTES`]. Unrecorded steps may
    /// share a key.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.frame.set_key(&key.into());
        self
    }

    /// Sets the durability of the recorded outcome, instead of the workflow's. With [`Durability::Batched`], the step
    /// does not wait for the disk. A crash of the system or a loss of power may then lose its outcome and all later
    /// records of the run, but never a record in the middle alone. Lost steps run again. On a volatile run, this option
    /// has no effect.
    ///
    /// # Default
    /// The durability of [`Workflow::durability`](crate::Workflow::durability), which is [`Durability::Sync`] unless
    /// set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.frame.detail().durability = Some(durability);
        self
    }
}

impl<F, A, R, G, U> Step<'_, F, A, R, G, U> {
    pub(crate) const fn frame(&self) -> &Frame<'_> {
        &self.frame
    }

    pub(crate) fn shielded(mut self) -> Self {
        self.frame.shield();
        self
    }
}

impl<'r, A, R, G, U> Step<'r, (), A, R, G, U> {
    /// Sets the operation, as the last call of `step!`.
    #[doc(hidden)]
    #[inline]
    pub fn __operation<F>(self, operation: F) -> Step<'r, F, A, R, G, U> {
        let Self { frame, attempts, guard, undo, .. } = self;
        Step::assemble(frame, operation, attempts, guard, undo)
    }
}

impl<'r, F, A, G, U> Step<'r, F, A, Durable, G, U> {
    /// Records only values: a failed step runs again if the run is resumed. The error type needs no serde.
    pub fn rerun_errors(self) -> Step<'r, F, A, ValuesOnly, G, U> {
        let Self { frame, operation, attempts, guard, undo, .. } = self;
        Step::assemble(frame, operation, attempts, guard, undo)
    }

    /// Runs the operation inside a transaction of `store`, which is the store of the run. The value is recorded in the
    /// same commit, so the operation's writes exist exactly if the record does. The operation is a closure that
    /// receives a [`Tx`](crate::store::Tx). With `retry`, each attempt has its own transaction and a clone of the
    /// closure, so the captured values must be `Clone`.
    ///
    /// If the operation fails, times out or is dropped, its writes are rolled back. Its error is recorded as for any
    /// step.
    ///
    /// # Errors
    /// Awaiting the step returns [`RunError::Store`](crate::RunError::Store) if the transaction cannot begin or commit.
    /// The run is then interrupted, without the writes and the record; if only the store's answer was lost, both may
    /// exist. Returns [`RunError::Refused`](crate::RunError::Refused) if the operation kept the transaction or the run
    /// has no store.
    ///
    /// # Resume
    /// A recorded step is not executed again, and an unrecorded step has left no writes, so its effect happens exactly
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
    ) -> Step<'r, F, InTransaction<'_, S, A>, Durable, G, U> {
        self.map_attempts(|attempts| InTransaction::new(store, attempts))
    }
}

impl<F, A, R, G, U> Step<'_, F, A, R, G, U> {
    /// Declares the input of the step. The run records a fingerprint of `value` with the outcome. If a resumed run
    /// declares a different input for the step, the run stops, unless [`on_change`](Self::on_change) sets another
    /// reaction. On a volatile run, this option has no effect.
    ///
    /// # Errors
    /// Awaiting the step returns [`RunError::InputChanged`](crate::RunError::InputChanged) if the input differs, or
    /// [`RunError::Unencodable`](crate::RunError::Unencodable) if `value` has no JSON form.
    pub fn input<I: Serialize + ?Sized>(mut self, value: &I) -> Self {
        self.frame.detail().input = Some(Fingerprint::of(value));
        self
    }

    /// Sets the reaction if the recorded outcome belongs to another input. In a saga, [`OnChange::Rerun`] loses the value
    /// for the old input, so the saga does not undo the effect of that value.
    ///
    /// # Default
    /// [`OnChange::Fail`]
    pub fn on_change(mut self, policy: OnChange) -> Self {
        self.frame.detail().on_change = policy;
        self
    }
}

/// A step that `step!` or `parallel!` builds from its arguments and executes. The trait repeats [`IntoFuture`] under
/// another name, so that the compiler reports an unmet bound of a step with the messages of [`Keep`] and [`Invoke`]
/// instead of `.await`'s "not a future".
pub trait Execute {
    /// The future of the value.
    type Future: Future;
    /// Converts the value into a future.
    fn execute(self) -> Self::Future;
}

impl<'r, F, A, R, G, U> Execute for Step<'r, F, A, R, G, U>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
    type Future = StepFuture<'r, F, A, R, G, U>;

    #[inline]
    fn execute(self) -> Self::Future {
        self.into_future()
    }
}

/// Executes the argument of a macro.
#[inline]
pub fn execute<S: Execute>(step: S) -> S::Future {
    step.execute()
}

impl<'r, F, A, R, G, U> IntoFuture for Step<'r, F, A, R, G, U>
where
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
    U: Undo<A::Value>,
{
    type Output = Ended<A::Value, A::Error>;
    type IntoFuture = StepFuture<'r, F, A, R, G, U>;

    #[inline]
    fn into_future(self) -> Self::IntoFuture {
        StepFuture::new(self.frame, self.operation, self.attempts, self.guard, self.undo)
    }
}

impl<F, A: fmt::Debug, R, G, U> fmt::Debug for Step<'_, F, A, R, G, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", self.frame.name())
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

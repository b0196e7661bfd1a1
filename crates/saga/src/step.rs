use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use awaitly_core::extend::undo::{self, Unkept};
use awaitly_core::guard::Guard;
use awaitly_core::journal::{Key, OnChange};
use awaitly_core::step::{
    Committed, Ended, Execute, InTransaction, Invoke, Keep, Preset, Recorded, Repeat, Step, StepFuture,
    ValuesOnly,
};
use awaitly_core::store::{Durability, Transactional, Tx};
use awaitly_core::{Durable, Error, Mode, Retry, RunError};
use pin_project_lite::pin_project;
use serde::Serialize;

use crate::Saga;
use crate::compensation::{By, Compensates, Compensation, Entered, InTransactionOf};
use crate::ledger::Ledger;

/// A step of a saga, with its compensation.
///
/// Created by [`Saga::step`]. It takes the options of an ordinary [`Step`] except `when` and `unless`, and executes
/// like one. [`compensate`](Self::compensate) adds the compensation.
///
/// # Cancel safety
/// As for [`Step`]. If the step is dropped while its operation is in flight, it is
/// [in doubt](crate::SagaError::in_doubt).
///
/// # Resume
/// A recorded step enters its compensation again, with the recorded value.
#[must_use = "a step does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct SagaStep<'s, H, S, X = Compensation> {
    saga: &'s H,
    step: S,
    compensation: X,
}

impl<'s, H, S, X> SagaStep<'s, H, S, X> {
    pub(crate) const fn new(saga: &'s H, step: S, compensation: X) -> Self {
        Self { saga, step, compensation }
    }

    /// Replaces the step.
    fn map<Z>(self, change: impl FnOnce(S) -> Z) -> SagaStep<'s, H, Z, X> {
        SagaStep::new(self.saga, change(self.step), self.compensation)
    }
}

impl<'s, H, S, C, P> SagaStep<'s, H, S, Compensation<C, P>> {
    /// Retries the compensation after a failure, as `policy` decides.
    ///
    /// # Default
    /// One attempt.
    pub fn compensate_retry<Q>(self, policy: Retry<Q>) -> SagaStep<'s, H, S, Compensation<C, Q>> {
        SagaStep::new(self.saga, self.step, self.compensation.retry(policy))
    }

    /// Limits the time of an attempt at the compensation. A longer attempt is dropped and counts as a failure.
    ///
    /// # Default
    /// No limit. Neither the run's deadline nor its cancellation ends a compensation.
    pub fn compensate_timeout(self, timeout: Duration) -> Self {
        Self::new(self.saga, self.step, self.compensation.timeout(timeout))
    }
}

impl<'s, 'c, 'r, E, M, F, A, R, G, P>
    SagaStep<'s, Saga<'c, E, M>, Step<'r, F, A, R, G>, Compensation<(), P>>
{
    /// Sets the operation that undoes the step. Each attempt calls it with a clone of the step's value.
    ///
    /// The compensation runs if the saga fails after this step has succeeded. It is a step named `undo` and this step's
    /// key. It lives as long as the saga and runs after the body has ended, so it can borrow values from outside the
    /// body; it takes values of the body by `move`.
    #[expect(clippy::type_complexity, reason = "a step, and what undoes it")]
    pub fn compensate<C, Fut, U, X>(
        self,
        operation: C,
    ) -> SagaStep<'s, Saga<'c, E, M>, Step<'r, F, A, R, G>, Compensation<By<C>, P>>
    where
        A: Invoke<F>,
        C: FnMut(A::Value) -> Fut + Send + 'c,
        Fut: Future<Output = Result<U, X>>,
    {
        SagaStep::new(self.saga, self.step, self.compensation.by(operation))
    }
}

impl<'r, H, F, A, R, G, X> SagaStep<'_, H, Step<'r, F, A, R, G>, X> {
    /// Whether the journal holds an outcome of the step.
    pub(crate) fn is_known(&self) -> bool {
        undo::is_known(&self.step)
    }
}

/// The options of an ordinary step.
impl<'s, 'r, H, F, A, R, G, X> SagaStep<'s, H, Step<'r, F, A, R, G>, X> {
    /// Sets the retry policy of the step: see [`Step::retry`].
    #[expect(clippy::type_complexity, reason = "a step, and what undoes it")]
    pub fn retry<Q>(self, policy: Retry<Q>) -> SagaStep<'s, H, Step<'r, F, A::Again<Q>, R, G>, X>
    where
        A: Repeat,
    {
        self.map(|step| step.retry(policy))
    }

    /// Limits the time of each attempt: see [`Step::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.map(|step| step.timeout(timeout))
    }

    /// Limits the time of the whole step: see [`Step::deadline`].
    pub fn deadline(self, deadline: Duration) -> Self {
        self.map(|step| step.deadline(deadline))
    }

    /// Adds a guard: see [`Step::guard`].
    #[expect(clippy::type_complexity, reason = "a step, and what undoes it")]
    pub fn guard<K>(self, guard: K) -> SagaStep<'s, H, Step<'r, F, A, R, (G, K)>, X> {
        self.map(|step| step.guard(guard))
    }

    /// Applies a set of options: see [`Step::policy`].
    pub fn policy<Q: Preset<Step<'r, F, A, R, G>>>(self, policy: Q) -> SagaStep<'s, H, Q::Step, X> {
        self.map(|step| step.policy(policy))
    }

    /// Sets the key of the step: see [`Step::key`].
    pub fn key(self, key: impl Into<Key>) -> Self {
        self.map(|step| step.key(key))
    }

    /// Sets the durability of the record: see [`Step::durability`].
    pub fn durability(self, durability: Durability) -> Self {
        self.map(|step| step.durability(durability))
    }

    /// Records the input of the step: see [`Step::input`].
    pub fn input<I: Serialize + ?Sized>(self, value: &I) -> Self {
        self.map(|step| step.input(value))
    }

    /// Sets the reaction to a changed input: see [`Step::on_change`]. With [`OnChange::Rerun`], the effect that the
    /// step had for the old input is not undone, because its value is lost.
    pub fn on_change(self, policy: OnChange) -> Self {
        self.map(|step| step.on_change(policy))
    }
}

impl<'s, 'c, 'r, E, F, A, R, G, P>
    SagaStep<'s, Saga<'c, E, Durable>, Step<'r, F, A, R, G>, Compensation<(), P>>
{
    /// Sets a compensation that works inside a transaction of `store`, which is the store of the run. The record that
    /// the step is undone commits together with the writes of `operation`, so the undo takes effect exactly once. Apart
    /// from that, it works like [`compensate`](Self::compensate). Each attempt has a clone of `operation`.
    ///
    /// ```
    /// use awaitly_core::store::{Transactional, Tx};
    /// use awaitly_core::{RunError, step};
    /// use awaitly_saga::DurableSaga;
    ///
    /// async fn debit<T>(tx: Tx<T>, cents: u64) -> Result<u64, RunError> {
    ///     Ok(cents)
    /// }
    ///
    /// async fn credit<T>(tx: Tx<T>, cents: u64) -> Result<(), RunError> {
    ///     Ok(())
    /// }
    ///
    /// async fn pay<'c>(
    ///     saga: &DurableSaga<'c, RunError>,
    ///     store: &'c impl Transactional,
    /// ) -> Result<u64, RunError> {
    ///     let debited = step!(saga
    ///         .step("debit", move |tx| debit(tx, 4200))
    ///         .transaction(store)
    ///         .compensate_in(store, move |tx, cents| credit(tx, cents)));
    ///     Ok(debited)
    /// }
    /// ```
    #[expect(clippy::type_complexity, reason = "a step, and what undoes it")]
    pub fn compensate_in<S, C, Fut, U, X>(
        self,
        store: &'c S,
        operation: C,
    ) -> SagaStep<'s, Saga<'c, E, Durable>, Step<'r, F, A, R, G>, Compensation<InTransactionOf<'c, S, C>, P>>
    where
        S: Transactional,
        A: Invoke<F>,
        C: Fn(Tx<S::Transaction>, A::Value) -> Fut + Clone + Send + 'c,
        Fut: Future<Output = Result<U, X>>,
    {
        SagaStep::new(self.saga, self.step, self.compensation.within(store, operation))
    }
}

impl<'s, 'r, H, F, A, G, X> SagaStep<'s, H, Step<'r, F, A, Recorded, G>, X> {
    /// Executes the operation inside a transaction: see [`Step::transaction`].
    #[expect(clippy::type_complexity, reason = "a step, and what undoes it")]
    pub fn transaction<S: Transactional>(
        self,
        store: &S,
    ) -> SagaStep<'s, H, Step<'r, F, InTransaction<'_, S, A>, Committed, G>, X> {
        self.map(|step| step.transaction(store))
    }

    /// Records only values, so that a resumed run tries the step again after an error: see [`Step::rerun_errors`].
    pub fn rerun_errors(self) -> SagaStep<'s, H, Step<'r, F, A, ValuesOnly, G>, X> {
        self.map(Step::rerun_errors)
    }
}

impl<'s, 'r, H, A, R, G, X> SagaStep<'s, H, Step<'r, (), A, R, G>, X> {
    /// Sets the operation, as the last call of `step!`.
    #[doc(hidden)]
    pub fn __operation<F>(self, operation: F) -> SagaStep<'s, H, Step<'r, F, A, R, G>, X> {
        self.map(|step| step.__operation(operation))
    }
}

impl<'s, 'c, 'r, E, M, F, A, R, G, X> IntoFuture for SagaStep<'s, Saga<'c, E, M>, Step<'r, F, A, R, G>, X>
where
    M: Mode,
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
    G: Guard<A::Error>,
    X: Compensates<'c, A::Value, E, M>,
{
    type Output = Ended<A::Value, A::Error>;
    type IntoFuture = SagaStepFuture<'s, 'c, E, M, StepFuture<'r, F, A, R, G>, X, A::Value>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { saga, step, compensation } = self;
        let key = undo::key_of(&step);
        let found = if X::UNDOES { undo::peek(&step) } else { None };
        let doubt = Doubt { ledger: saga.ledger(), key, undoes: X::UNDOES, running: false };
        SagaStepFuture { inner: step.into_future(), saga, compensation: Some(compensation), found, doubt }
    }
}

impl<H, S, X> Execute for SagaStep<'_, H, S, X>
where
    Self: IntoFuture,
{
    type Future = <Self as IntoFuture>::IntoFuture;

    fn execute(self) -> Self::Future {
        self.into_future()
    }
}

pin_project! {
    /// The future of a [`SagaStep`].
    #[must_use = "futures do nothing unless polled"]
    pub struct SagaStepFuture<'s, 'c, E, M, Fut, X, T>
    where
        X: Compensates<'c, T, E, M>,
    {
        #[pin]
        inner: Fut,
        saga: &'s Saga<'c, E, M>,
        // `None` after the compensation was entered.
        compensation: Option<X>,
        // The recorded value, until the step has been polled.
        found: Option<T>,
        doubt: Doubt<'s, 'c, E, M>,
    }

    impl<'s, 'c, E, M, Fut, X, T> PinnedDrop for SagaStepFuture<'s, 'c, E, M, Fut, X, T>
    where
        X: Compensates<'c, T, E, M>,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // The step succeeded in an earlier execution, and is dropped before its first poll, usually because a
            // concurrent step failed.
            if let (Some(value), Some(compensation)) = (this.found.take(), this.compensation.take()) {
                let Doubt { ledger, key, .. } = this.doubt;
                compensation.enter(key.clone(), &value, &Entered(ledger));
                ledger.lock().keys.push(key.clone());
            }
        }
    }
}

/// Notes on drop that a step ended while its operation was in flight.
struct Doubt<'s, 'c, E, M> {
    ledger: &'s Ledger<'c, E, M>,
    key: Key,
    /// Whether the step has a compensation.
    undoes: bool,
    running: bool,
}

impl<E, M> Drop for Doubt<'_, '_, E, M> {
    fn drop(&mut self) {
        if self.running && self.undoes {
            self.ledger.doubts(self.key.clone());
        }
    }
}

impl<'c, E, M, Fut, X, T, F> Future for SagaStepFuture<'_, 'c, E, M, Fut, X, T>
where
    M: Mode,
    Fut: Future<Output = Ended<T, F>> + Unkept<Value = T>,
    X: Compensates<'c, T, E, M>,
{
    type Output = Ended<T, F>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let was_running = std::mem::replace(&mut this.doubt.running, true);
        if X::UNDOES && !was_running && !this.saga.is_here() {
            this.doubt.running = false;
            return Poll::Ready(Err(Error::Run(misplaced(this.saga, &this.doubt.key))));
        }
        this.found.take();
        let mut inner = this.inner;
        let ended = ready!(inner.as_mut().poll(cx));
        let Doubt { ledger, key, running, .. } = this.doubt;
        // If a resumed run refuses the step, its operation may still have been in flight when the last execution ended.
        *running = left_open(&ended, was_running || undo::is_resumed(this.saga.run()));
        if was_running || !is_refused(&ended) {
            ledger.lock().keys.push(key.clone());
        }
        match (&ended, this.compensation.take()) {
            (Ok(value), Some(compensation)) => compensation.enter(key.clone(), value, &Entered(ledger)),
            // The operation had its effect, but its value could not be recorded.
            (Err(Error::Run(error)), Some(compensation)) if is_unkept(error) => match inner.unkept() {
                Some(value) => compensation.enter(key.clone(), &value, &Entered(ledger)),
                None if X::UNDOES => ledger.doubts(key.clone()),
                None => {}
            },
            _ => {}
        }
        Poll::Ready(ended)
    }
}

/// Whether the step had its effect although its value was not recorded.
const fn is_unkept(error: &RunError) -> bool {
    matches!(error, RunError::Unencodable { .. } | RunError::TooLarge { .. })
}

/// Whether the step did not begin.
const fn is_refused<T, F>(ended: &Ended<T, F>) -> bool {
    matches!(ended, Err(Error::Run(RunError::Cancelled { .. } | RunError::Timeout { attempt: 0, .. })))
}

/// Refuses a step inside the operation of another recorded step. A resumed run finds the outer step and does not call
/// it, so the saga would never learn of the inner step.
pub(crate) fn misplaced<E, M: Mode>(saga: &Saga<'_, E, M>, key: &Key) -> RunError {
    let reason = "what undoes a step would be forgotten where it stands inside of the operation of another recorded \
                  step: build it in the body of the saga, or in a function that the body calls";
    let (step, by, reason) = (key.clone(), "saga".into(), reason.into());
    undo::stop(saga.run(), RunError::Refused { step, by, reason, retry_after: None })
}

/// Whether the operation may have had an effect that the caller did not hear of.
const fn left_open<T, X>(ended: &Ended<T, X>, was_running: bool) -> bool {
    match ended {
        // Includes timeouts found in the journal. Attempt 0 means that the operation never began.
        Err(Error::Run(RunError::Timeout { attempt, .. })) => *attempt > 0,
        Err(Error::Run(RunError::Cancelled { .. })) => was_running,
        _ => false,
    }
}

impl<H, S: fmt::Debug, X: fmt::Debug> fmt::Debug for SagaStep<'_, H, S, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, compensation, .. } = self;
        f.debug_struct("SagaStep")
            .field("step", step)
            .field("compensation", compensation)
            .finish_non_exhaustive()
    }
}

impl<'c, E, M, Fut, X: Compensates<'c, T, E, M>, T> fmt::Debug for SagaStepFuture<'_, 'c, E, M, Fut, X, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaStepFuture").field("step", &self.doubt.key).finish_non_exhaustive()
    }
}

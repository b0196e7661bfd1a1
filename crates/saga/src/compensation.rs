//! The part of a step that undoes it. It notes the effects of the step in the saga's ledger.
//!
//! A step of a saga is a step of core whose last type parameter is a [`Compensation`]. The step reports its progress
//! through the trait [`Undo`], implemented below. The ledger must contain every effect of a step, even an effect that
//! the body never learns of. There are four cases:
//!
//! - The operation succeeded. The value enters the ledger before the body receives it. If the body is then dropped or
//!   panics, the saga can still undo the effect.
//! - The operation succeeded, but its value could not be recorded. The step fails, and the value enters the ledger.
//! - A timeout, a cancellation or a drop ended the operation in flight. Its effect is unknown, so the ledger lists the
//!   step as in doubt. The same applies if an earlier execution recorded such an outcome, for example a timeout.
//! - The journal holds a value, and the step is dropped before its first poll because another step failed. The recorded
//!   value enters the ledger.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use awaitly_core::extend::undo::{self, Compensate, Undo};
use awaitly_core::journal::Key;
use awaitly_core::retry::Rules;
use awaitly_core::step::{Ended, InTransaction, Invoke, Keep, Repeat, Step};
use awaitly_core::store::{Transactional, Tx};
use awaitly_core::{Durable, Error, FromStep, Mode, Retry, Run, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Saga;
use crate::ledger::{Done, UndoFn, UndoFuture};

/// The part of a step that undoes it. Programs rarely name this type: set a compensation with
/// [`Step::compensate`] or `step!(saga, compensate = .., ..)`.
///
/// It is the last type parameter of each [`Step`] and each [`Each`](awaitly_core::several::Each) that a [`Saga`]
/// builds. `C` is the operation of the compensation, or `()` if the step has no compensation. `A` is the retry policy
/// of the compensation, or an [`InTransaction`] that contains the policy.
pub struct Compensation<'s, 'c, E, M, C = (), A = Retry> {
    saga: &'s Saga<'c, E, M>,
    /// `None` after the ledger has taken the operation.
    operation: Option<Operation<C, A>>,
}

/// The operation of a compensation, with its retry policy and its timeout.
#[derive(Clone)]
pub(crate) struct Operation<C, A> {
    operation: C,
    attempts: A,
    timeout: Option<Duration>,
}

impl<'s, 'c, E, M> Compensation<'s, 'c, E, M> {
    /// Creates the part of a step without a compensation.
    pub(crate) fn none(saga: &'s Saga<'c, E, M>) -> Self {
        let attempts = Retry::fixed(Duration::ZERO).attempts(1);
        Self { saga, operation: Some(Operation { operation: (), attempts, timeout: None }) }
    }
}

impl<'s, 'c, E, M, C, A> Compensation<'s, 'c, E, M, C, A> {
    fn map<D, B>(
        self,
        change: impl FnOnce(Operation<C, A>) -> Operation<D, B>,
    ) -> Compensation<'s, 'c, E, M, D, B> {
        Compensation { saga: self.saga, operation: self.operation.map(change) }
    }
}

#[diagnostic::do_not_recommend]
impl<'s, 'c, E, M, C, A: Repeat> Compensate for Compensation<'s, 'c, E, M, C, A> {
    type By<D> = Compensation<'s, 'c, E, M, D, A>;
    type InTransaction<'t, S: 't, D> = Compensation<'s, 'c, E, M, D, InTransaction<'t, S, A>>;
    type Again<P> = Compensation<'s, 'c, E, M, C, A::Again<P>>;

    fn by<D>(self, operation: D) -> Self::By<D> {
        self.map(|Operation { attempts, timeout, .. }| Operation { operation, attempts, timeout })
    }

    fn in_transaction<S, D>(self, store: &S, operation: D) -> Self::InTransaction<'_, S, D> {
        self.map(|Operation { attempts, timeout, .. }| {
            let attempts = InTransaction::new(store, attempts);
            Operation { operation, attempts, timeout }
        })
    }

    fn again<P>(self, policy: Retry<P>) -> Self::Again<P> {
        self.map(|Operation { operation, attempts, timeout }| {
            let attempts = attempts.again(policy);
            Operation { operation, attempts, timeout }
        })
    }

    fn within(self, timeout: Duration) -> Self {
        self.map(|operation| Operation { timeout: Some(timeout), ..operation })
    }
}

/// An operation that undoes a step with a value of type `T`, in a saga with the error type `E`.
#[diagnostic::on_unimplemented(
    message = "this cannot undo a step whose value is `{T}`, in a saga that fails with `{E}`",
    note = "a compensation is a closure that receives a clone of the step's value and returns a future of a `Result`: `|hold| api.release(hold)`",
    note = "its error converts into `{E}`, as a step's error does; on a durable run, the error is recorded, so it needs serde; the closure, the value and the future are `Send`"
)]
pub(crate) trait Undoes<'c, T, E, M> {
    /// Whether the step has a compensation.
    const UNDOES: bool;

    /// Returns the undo of a step with this value, or `None` if the step has no compensation.
    fn undo(self, value: &T) -> Option<UndoFn<'c, E, M>>;
}

#[diagnostic::do_not_recommend]
impl<'c, T, E, M, A> Undoes<'c, T, E, M> for Operation<(), A> {
    const UNDOES: bool = false;

    fn undo(self, _: &T) -> Option<UndoFn<'c, E, M>> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<'c, T, E, M, C, P, Fut, V, F> Undoes<'c, T, E, M> for Operation<C, Retry<P>>
where
    T: Clone + Send + 'c,
    E: FromStep<Error<F>> + 'c,
    M: Mode + Keep<V, F>,
    C: FnMut(T) -> Fut + Send + 'c,
    Fut: Future<Output = Result<V, F>> + Send + 'c,
    V: Send,
    F: fmt::Display + Send,
    P: Rules<F> + Send + 'c,
{
    const UNDOES: bool = true;

    fn undo(self, value: &T) -> Option<UndoFn<'c, E, M>> {
        let (value, Self { mut operation, attempts, timeout }) = (value.clone(), self);
        Some(Box::new(move |run: Run<M>, name| -> UndoFuture<'c, E> {
            let operation = move || operation(value.clone());
            Box::pin(async move {
                let step = undo::with_attempts(run.step(name, operation), attempts);
                undone(step, timeout).await
            })
        }))
    }
}

#[diagnostic::do_not_recommend]
impl<'c, T, E, S, C, P, Fut, V, F> Undoes<'c, T, E, Durable> for Operation<C, InTransaction<'c, S, Retry<P>>>
where
    T: Clone + Send + 'c,
    E: FromStep<Error<F>> + 'c,
    S: Transactional,
    C: Fn(Tx<S::Transaction>, T) -> Fut + Clone + Send + 'c,
    Fut: Future<Output = Result<V, F>> + Send + 'c,
    V: Serialize + DeserializeOwned + Send + 'static,
    F: Serialize + DeserializeOwned + fmt::Display + Send + 'static,
    P: Rules<F> + Send + 'c,
{
    const UNDOES: bool = true;

    fn undo(self, value: &T) -> Option<UndoFn<'c, E, Durable>> {
        let (value, Self { operation, attempts, timeout }) = (value.clone(), self);
        Some(Box::new(move |run: Run<Durable>, name| -> UndoFuture<'c, E> {
            let operation = move |tx| operation(tx, value.clone());
            Box::pin(async move {
                let step = undo::with_attempts(run.step(name, operation), attempts);
                undone(step, timeout).await
            })
        }))
    }
}

/// Executes a compensation. Neither a cancellation nor the run's deadline ends it.
async fn undone<E, F, A, R>(step: Step<'_, F, A, R>, timeout: Option<Duration>) -> (Key, Result<(), E>)
where
    E: FromStep<Error<A::Error>>,
    A: Invoke<F>,
    R: Keep<A::Value, A::Error>,
{
    let mut step = undo::shielded(step);
    if let Some(timeout) = timeout {
        step = step.timeout(timeout);
    }
    let key = undo::key_of(&step);
    (key, step.await.map(drop).map_err(E::from_step))
}

impl<'c, E, M: Mode, C, A> Compensation<'_, 'c, E, M, C, A> {
    /// Moves the compensation into the ledger, with a clone of the step's `value`.
    fn enter<T>(&mut self, step: &Key, value: &T)
    where
        Operation<C, A>: Undoes<'c, T, E, M>,
    {
        if let Some(undo) = self.operation.take().and_then(|operation| operation.undo(value)) {
            self.saga.ledger().lock().done.push(Done { step: step.clone(), undo });
        }
    }

    /// Notes in the ledger that the step is in doubt, if the step has a compensation.
    fn doubt<T>(&self, step: &Key)
    where
        Operation<C, A>: Undoes<'c, T, E, M>,
    {
        if <Operation<C, A>>::UNDOES {
            self.saga.ledger().lock().in_doubt.push(step.clone());
        }
    }
}

impl<'c, T, E, M, C, A> Undo<T> for Compensation<'_, 'c, E, M, C, A>
where
    M: Mode,
    Operation<C, A>: Undoes<'c, T, E, M>,
{
    const ACTS: bool = true;

    fn begins(&mut self, step: &Key) -> Result<(), RunError> {
        if <Operation<C, A>>::UNDOES && !self.saga.is_here() {
            Err(misplaced(self.saga, step))
        } else {
            Ok(())
        }
    }

    fn unkept(&mut self, step: &Key, value: &T) {
        self.enter(step, value);
    }

    fn ended<F>(&mut self, step: &Key, ended: &Ended<T, F>, polled_before: bool) {
        if polled_before || !is_refused(ended) {
            self.saga.ledger().lock().keys.push(step.clone());
        }
        match ended {
            Ok(value) => self.enter(step, value),
            // The operation succeeded in an earlier execution, and its value was lost with that execution.
            Err(Error::Run(error)) if is_unkept(error) && self.operation.is_some() => self.doubt(step),
            // A resumed run may refuse a step whose operation was in flight when the previous execution ended.
            ended if left_open(ended, polled_before || undo::is_resumed(self.saga.run())) => self.doubt(step),
            _ => {}
        }
    }

    fn aborted(&mut self, step: &Key) {
        self.doubt(step);
    }

    fn passed_over(&mut self, step: &Key, value: &T) {
        self.enter(step, value);
        self.saga.ledger().lock().keys.push(step.clone());
    }
}

/// Whether the operation succeeded, but its value could not be recorded.
const fn is_unkept(error: &RunError) -> bool {
    matches!(error, RunError::Unencodable { .. } | RunError::TooLarge { .. })
}

/// Whether the step ended in a way that is possible before its operation begins: by a cancellation, or by a time limit
/// before the first attempt.
const fn is_refused<T, F>(ended: &Ended<T, F>) -> bool {
    matches!(ended, Err(Error::Run(RunError::Cancelled { .. } | RunError::Timeout { attempt: 0, .. })))
}

/// Whether the operation may have been in flight when the step ended, so that its effect is unknown.
const fn left_open<T, F>(ended: &Ended<T, F>, may_have_begun: bool) -> bool {
    match ended {
        // Includes timeouts found in the journal. Attempt 0 means that the operation never began.
        Err(Error::Run(RunError::Timeout { attempt, .. })) => *attempt > 0,
        Err(Error::Run(RunError::Cancelled { .. })) => may_have_begun,
        _ => false,
    }
}

/// Refuses a step inside the operation of another recorded step. A resumed run finds the outer step and does not call
/// it, so the saga would never learn of the inner step.
pub(crate) fn misplaced<E, M: Mode>(saga: &Saga<'_, E, M>, key: &Key) -> RunError {
    let reason = "a resumed run does not call the operation of a recorded step, so it could not find and undo a step \
                  inside of it: build it in the body of the saga, or in a function that the body calls";
    let (step, by, reason) = (key.clone(), "saga".into(), reason.into());
    undo::stop(saga.run(), RunError::Refused { step, by, reason, retry_after: None })
}

// Implemented without a derive, so that `E` and `M` need not be `Clone`.
impl<E, M, C: Clone, A: Clone> Clone for Compensation<'_, '_, E, M, C, A> {
    fn clone(&self) -> Self {
        Self { saga: self.saga, operation: self.operation.clone() }
    }
}

impl<E, M, C, A: fmt::Debug> fmt::Debug for Compensation<'_, '_, E, M, C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation.as_ref();
        f.debug_struct("Compensation")
            .field("attempts", &operation.map(|operation| &operation.attempts))
            .field("timeout", &operation.and_then(|operation| operation.timeout))
            .finish_non_exhaustive()
    }
}

use std::fmt;
use std::future::Future;
use std::time::Duration;

use awaitly_core::extend::undo;
use awaitly_core::journal::Key;
use awaitly_core::retry::Rules;
use awaitly_core::step::Keep;
use awaitly_core::store::{Transactional, Tx};
use awaitly_core::{Durable, DurableRun, Error, FromStep, Mode, Retry, Run};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::{Done, Ledger, Undone};

/// The compensation of a step: the operation, its retry policy and its timeout. `C` is `()` if the step has no
/// compensation.
#[derive(Clone)]
pub struct Compensation<C = (), P = ()> {
    operation: C,
    retry: Retry<P>,
    timeout: Option<Duration>,
}

/// An operation that undoes a step.
#[derive(Clone)]
pub struct By<C>(C);

/// An operation that undoes a step inside a transaction of a store.
#[derive(Clone)]
pub struct InTransactionOf<'c, S, C> {
    store: &'c S,
    operation: C,
}

impl Compensation {
    pub(crate) const fn none() -> Self {
        Self { operation: (), retry: Retry::fixed(Duration::ZERO).attempts(1), timeout: None }
    }
}

impl<C, P> Compensation<C, P> {
    pub(crate) fn by<D>(self, operation: D) -> Compensation<By<D>, P> {
        let Self { retry, timeout, .. } = self;
        Compensation { operation: By(operation), retry, timeout }
    }

    pub(crate) fn within<S, D>(self, store: &S, operation: D) -> Compensation<InTransactionOf<'_, S, D>, P> {
        let Self { retry, timeout, .. } = self;
        Compensation { operation: InTransactionOf { store, operation }, retry, timeout }
    }

    pub(crate) fn retry<Q>(self, retry: Retry<Q>) -> Compensation<C, Q> {
        let Self { operation, timeout, .. } = self;
        Compensation { operation, retry, timeout }
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// A compensation for a step with a value of type `T`, in a saga with the error type `E`. Do not implement this trait.
#[diagnostic::on_unimplemented(
    message = "this cannot undo a step whose value is `{T}`, in a saga that fails with `{E}`",
    note = "what undoes a step is a closure that gets a clone of its value and returns a future of a `Result`: `|hold| api.release(hold)`",
    note = "its error needs a way into `{E}`, as a step's error does; on a durable run it is recorded, so it needs serde; and closure, value and future need to be `Send`"
)]
pub trait Compensates<'c, T, E, M> {
    /// Whether the compensation has an operation.
    #[doc(hidden)]
    const UNDOES: bool;

    /// Enters the compensation of `step`, which returned `value`, into the ledger.
    #[doc(hidden)]
    fn enter(self, step: Key, value: &T, ledger: &Entered<'_, 'c, E, M>);
}

/// The ledger that receives the compensation.
#[expect(missing_debug_implementations, reason = "nobody outside has one")]
pub struct Entered<'l, 'c, E, M>(pub(crate) &'l Ledger<'c, E, M>);

#[diagnostic::do_not_recommend]
impl<'c, T, E, M, P> Compensates<'c, T, E, M> for Compensation<(), P> {
    const UNDOES: bool = false;

    fn enter(self, _: Key, _: &T, _: &Entered<'_, 'c, E, M>) {}
}

#[diagnostic::do_not_recommend]
impl<'c, T, E, M, C, P, Fut, U, F> Compensates<'c, T, E, M> for Compensation<By<C>, P>
where
    T: Clone + Send + 'c,
    E: FromStep<Error<F>> + 'c,
    M: Mode,
    M::Keep: Keep<U, F>,
    C: FnMut(T) -> Fut + Send + 'c,
    Fut: Future<Output = Result<U, F>> + Send + 'c,
    U: Send,
    F: fmt::Display + Send,
    P: Rules<F> + Send + 'c,
{
    const UNDOES: bool = true;

    fn enter(self, step: Key, value: &T, Entered(ledger): &Entered<'_, 'c, E, M>) {
        let (value, Self { operation: By(mut operation), retry, timeout }) = (value.clone(), self);
        let undo = move |run: Run<M>, name| -> Undone<'c, E> {
            Box::pin(async move {
                let mut undo = undo::shielded(run.step(name, move || operation(value.clone())).retry(retry));
                if let Some(timeout) = timeout {
                    undo = undo.timeout(timeout);
                }
                let key = undo::key_of(&undo);
                (key, undo.await.map(drop).map_err(E::from_step))
            })
        };
        ledger.lock().done.push(Done { step, undo: Box::new(undo) });
    }
}

#[diagnostic::do_not_recommend]
impl<'c, T, E, S, C, P, Fut, U, F> Compensates<'c, T, E, Durable>
    for Compensation<InTransactionOf<'c, S, C>, P>
where
    T: Clone + Send + 'c,
    E: FromStep<Error<F>> + 'c,
    S: Transactional,
    C: Fn(Tx<S::Transaction>, T) -> Fut + Clone + Send + 'c,
    Fut: Future<Output = Result<U, F>> + Send + 'c,
    U: Serialize + DeserializeOwned + Send + 'static,
    F: Serialize + DeserializeOwned + fmt::Display + Send + 'static,
    P: Rules<F> + Send + 'c,
{
    const UNDOES: bool = true;

    fn enter(self, step: Key, value: &T, Entered(ledger): &Entered<'_, 'c, E, Durable>) {
        let Self { operation: InTransactionOf { store, operation }, retry, timeout } = self;
        let value = value.clone();
        let undo = move |run: DurableRun, name| -> Undone<'c, E> {
            let operation = move |tx| operation(tx, value.clone());
            Box::pin(async move {
                let undo = run.step(name, operation).transaction(store).retry(retry);
                let mut undo = undo::shielded(undo);
                if let Some(timeout) = timeout {
                    undo = undo.timeout(timeout);
                }
                let key = undo::key_of(&undo);
                (key, undo.await.map(drop).map_err(E::from_step))
            })
        };
        ledger.lock().done.push(Done { step, undo: Box::new(undo) });
    }
}

impl<C, P: fmt::Debug> fmt::Debug for Compensation<C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { retry, timeout, .. } = self;
        f.debug_struct("Compensation").field("retry", retry).field("timeout", timeout).finish_non_exhaustive()
    }
}

impl<S, C> fmt::Debug for InTransactionOf<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InTransactionOf(..)")
    }
}

impl<C> fmt::Debug for By<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By(..)")
    }
}

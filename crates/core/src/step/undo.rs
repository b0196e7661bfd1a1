//! The part of a step that undoes it. A step of a saga can have a compensation here. For a step that is built on a run,
//! this part is `()`, which adds no code.

use std::future::Future;
use std::time::Duration;

use super::{Ended, Invoke, Step};
use crate::error::RunError;
use crate::journal::Key;
use crate::retry::Retry;
use crate::store::{Transactional, Tx};

/// Receives the effect of a step, so that a saga can undo the effect later. `T` is the value of the step.
///
/// The step calls these methods with its key. It calls at most one of [`ended`](Self::ended),
/// [`aborted`](Self::aborted) and [`passed_over`](Self::passed_over), and at most once. It calls none of them if
/// [`begins`](Self::begins) refuses it, or if it is dropped before its first poll and the journal holds no value for
/// it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot undo a step whose value is `{T}`",
    note = "`()` undoes nothing, and the handle of a saga builds steps with a compensation"
)]
pub trait Undo<T> {
    /// If `false`, the methods have no effect, and the step may skip the calls. If `true`, a list waits for its items in
    /// flight after an item fails, instead of dropping them, so that their effects become known.
    const ACTS: bool = false;

    /// Permits or refuses the step. The first poll of the step calls this method before anything else.
    ///
    /// # Errors
    /// Returns an error if the step is refused. The step fails with this error and does not call its operation.
    fn begins(&mut self, _step: &Key) -> Result<(), RunError> {
        Ok(())
    }

    /// Receives the value of an operation that succeeded, if the value cannot be recorded and the step therefore
    /// fails. The step then calls [`ended`](Self::ended) with the failure.
    fn unkept(&mut self, _step: &Key, _value: &T) {}

    /// Receives the outcome of the step, before the body receives it. `polled_before` is `false` if the first poll of
    /// the step returned the outcome.
    fn ended<E>(&mut self, _step: &Key, _ended: &Ended<T, E>, _polled_before: bool) {}

    /// Notes that the step was dropped after its first poll and before its outcome, so its effect is unknown.
    fn aborted(&mut self, _step: &Key) {}

    /// Receives the recorded value of a step that was dropped before its first poll.
    fn passed_over(&mut self, _step: &Key, _value: &T) {}
}

#[diagnostic::do_not_recommend]
impl<T> Undo<T> for () {}

/// The part of a step that can hold a compensation. The steps of a saga have such a part; the steps of a run do not.
#[diagnostic::on_unimplemented(
    message = "a compensation needs a saga, and this step is not built on one",
    label = "nothing undoes the steps of a run",
    note = "build the step on the handle of a saga: `saga(run, async |saga| Ok(step!(saga, compensate = .., ..)))`"
)]
pub trait Compensate: Sized {
    /// This part after [`by`](Self::by) has set the compensation `C`.
    type By<C>;
    /// This part after [`in_transaction`](Self::in_transaction) has set the compensation `C`, which writes in a
    /// transaction of the store `S`.
    type InTransaction<'t, S: 't, C>;
    /// This part after [`again`](Self::again) has set a retry policy with the rules `P`.
    type Again<P>;

    /// Sets the compensation.
    fn by<C>(self, operation: C) -> Self::By<C>;

    /// Sets the compensation, which receives a transaction of `store`.
    fn in_transaction<S, C>(self, store: &S, operation: C) -> Self::InTransaction<'_, S, C>;

    /// Sets the retry policy of the compensation.
    fn again<P>(self, policy: Retry<P>) -> Self::Again<P>;

    /// Sets the time limit of each attempt of the compensation.
    #[must_use]
    fn within(self, timeout: Duration) -> Self;
}

/// The options for the compensation of a step. They compile only for steps that are built on the handle of a saga.
impl<'r, F, A, R, G, U> Step<'r, F, A, R, G, U> {
    /// In a saga, sets the compensation: the operation that undoes this step. Each attempt of the compensation calls
    /// `operation` with a clone of the step's value.
    ///
    /// The compensation runs if the saga fails after this step has succeeded. It is a step of its own, named `undo`
    /// followed by this step's key, for example `undo hotel`. It runs after the body has ended, so `operation` can
    /// borrow only values from outside the body; use `move` for values that the body creates.
    pub fn compensate<C, Fut, V, X, B>(self, operation: C) -> Step<'r, F, A, R, G, B>
    where
        A: Invoke<F>,
        U: Compensate<By<C> = B>,
        C: FnMut(A::Value) -> Fut + Send,
        Fut: Future<Output = Result<V, X>>,
    {
        self.map_undo(|undo| undo.by(operation))
    }

    /// In a saga, sets a compensation that writes in a transaction of `store`, which must be the store of the run. The
    /// transaction commits the writes of `operation` together with the record of the undo, so the undo takes effect
    /// exactly once. Each attempt calls a clone of `operation`. Otherwise, this option works like
    /// [`compensate`](Self::compensate).
    pub fn compensate_in<'t, S, C, Fut, V, X, B>(self, store: &'t S, operation: C) -> Step<'r, F, A, R, G, B>
    where
        S: Transactional,
        A: Invoke<F>,
        U: Compensate<InTransaction<'t, S, C> = B>,
        C: Fn(Tx<S::Transaction>, A::Value) -> Fut + Clone + Send,
        Fut: Future<Output = Result<V, X>>,
    {
        self.map_undo(|undo| undo.in_transaction(store, operation))
    }

    /// In a saga, sets the retry policy of the compensation.
    ///
    /// # Default
    /// One attempt.
    pub fn compensate_retry<P, B>(self, policy: Retry<P>) -> Step<'r, F, A, R, G, B>
    where
        U: Compensate<Again<P> = B>,
    {
        self.map_undo(|undo| undo.again(policy))
    }

    /// In a saga, sets the time limit of each attempt of the compensation. An attempt that takes longer is dropped and
    /// counts as a failure.
    ///
    /// # Default
    /// No limit. Neither the run's deadline nor its cancellation ends a compensation.
    pub fn compensate_timeout(self, timeout: Duration) -> Self
    where
        U: Compensate,
    {
        self.map_undo(|undo| undo.within(timeout))
    }
}

//! The part of a step that undoes it. On a run, nothing does: the part is `()`, and its code compiles to nothing.

use std::future::Future;
use std::time::Duration;

use super::{Ended, Invoke, Step};
use crate::error::RunError;
use crate::journal::Key;
use crate::retry::Retry;
use crate::store::{Transactional, Tx};

/// The part of a step that learns of its effect, so that it can undo the effect later. `T` is the value of the step.
///
/// The step calls these methods with its key. It calls [`ended`](Self::ended), [`aborted`](Self::aborted) or
/// [`passed_over`](Self::passed_over) at most once, and none of them if it is dropped before its first poll without a
/// recorded value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot undo a step whose value is `{T}`",
    note = "`()` undoes nothing, and the handle of a saga builds steps with a compensation"
)]
pub trait Undo<T> {
    /// Whether the methods do anything. A list whose items have an effect to report waits for the items in flight after
    /// a failure, instead of dropping them.
    const ACTS: bool = false;

    /// Permits or refuses the step before its first poll.
    ///
    /// # Errors
    /// Returns the error in which the step ends.
    fn begins(&mut self, _step: &Key) -> Result<(), RunError> {
        Ok(())
    }

    /// Receives the value of an operation that succeeded, although the step fails because its value cannot be recorded.
    /// [`ended`](Self::ended) follows.
    fn unkept(&mut self, _step: &Key, _value: &T) {}

    /// Receives the outcome before the body does. `polled_before` is `false` if the first poll of the step returned it.
    fn ended<E>(&mut self, _step: &Key, _ended: &Ended<T, E>, _polled_before: bool) {}

    /// Notes that the step was dropped between its first poll and its outcome.
    fn aborted(&mut self, _step: &Key) {}

    /// Receives the recorded value of a step that was dropped before its first poll.
    fn passed_over(&mut self, _step: &Key, _value: &T) {}
}

#[diagnostic::do_not_recommend]
impl<T> Undo<T> for () {}

/// A part of a step to which a compensation can be added. The part of a step of a saga implements it.
#[diagnostic::on_unimplemented(
    message = "a compensation needs a saga, and this step is not built on one",
    label = "nothing undoes the steps of a run",
    note = "build the step on the handle of a saga: `saga(run, async |saga| Ok(step!(saga, compensate = .., ..)))`"
)]
pub trait Compensate: Sized {
    /// The part with the compensation `C`.
    type By<C>;
    /// The part with the compensation `C` inside a transaction of `S`.
    type InTransaction<'t, S: 't, C>;
    /// The part with the retry policy `P` for its compensation.
    type Again<P>;

    /// Sets the compensation.
    fn by<C>(self, operation: C) -> Self::By<C>;

    /// Sets the compensation, which receives a transaction of `store`.
    fn in_transaction<S, C>(self, store: &S, operation: C) -> Self::InTransaction<'_, S, C>;

    /// Sets the retry policy of the compensation.
    fn again<P>(self, policy: Retry<P>) -> Self::Again<P>;

    /// Sets the time limit of an attempt at the compensation.
    #[must_use]
    fn within(self, timeout: Duration) -> Self;
}

/// The options of a step of a saga.
impl<'r, F, A, R, G, U> Step<'r, F, A, R, G, U> {
    /// In a saga, sets the operation that undoes the step. Each attempt calls it with a clone of the step's value.
    ///
    /// The compensation runs if the saga fails after this step has succeeded. It is a step named `undo` and this step's
    /// key. It lives as long as the saga and runs after the body has ended, so it can borrow values from outside the
    /// body; it takes values of the body by `move`.
    pub fn compensate<C, Fut, V, X, B>(self, operation: C) -> Step<'r, F, A, R, G, B>
    where
        A: Invoke<F>,
        U: Compensate<By<C> = B>,
        C: FnMut(A::Value) -> Fut + Send,
        Fut: Future<Output = Result<V, X>>,
    {
        self.map_undo(|undo| undo.by(operation))
    }

    /// In a saga, sets a compensation that works inside a transaction of `store`, which is the store of the run. The
    /// record that the step is undone commits together with the writes of `operation`, so the undo takes effect exactly
    /// once. Apart from that, it works like [`compensate`](Self::compensate). Each attempt has a clone of `operation`.
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

    /// In a saga, retries the compensation after a failure, as `policy` decides.
    ///
    /// # Default
    /// One attempt.
    pub fn compensate_retry<P, B>(self, policy: Retry<P>) -> Step<'r, F, A, R, G, B>
    where
        U: Compensate<Again<P> = B>,
    {
        self.map_undo(|undo| undo.again(policy))
    }

    /// In a saga, limits the time of an attempt at the compensation. A longer attempt is dropped and counts as a
    /// failure.
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

//! Steps with an operation inside a transaction of the store, which commits the outcome too.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{Frame, Place};
use super::invoke::{Attempts, Invoke, OfStep, Once, Repeat, Retrying, Waits};
use super::keep::{Ended, Keep, Recorded};
use crate::error::{Error, RunError};
use crate::journal::{DecodeError, EncodeError, Key, Outcome, Payload, Record};
use crate::retry::{Retry, Rules};
use crate::stage::{Misfit, Prop};
use crate::store::{Back, StoreError, Transactional, Tx};

/// Calls the operation with a transaction of `store`. `A` is the number of its calls.
#[derive(Debug)]
pub struct InTransaction<'s, S, A> {
    pub(super) store: &'s S,
    pub(super) attempts: A,
}

/// The attempt commits its value itself; errors are recorded as for any step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Committed;

impl OfStep for Place {
    fn of(frame: &Frame<'_>) -> Self {
        frame.place()
    }
}

impl<'s, S, A: Repeat> Repeat for InTransaction<'s, S, A> {
    type Again<P> = InTransaction<'s, S, A::Again<P>>;

    fn again<P>(self, policy: Retry<P>) -> Self::Again<P> {
        InTransaction { store: self.store, attempts: self.attempts.again(policy) }
    }
}

impl<E, S, A: Attempts<E>> Attempts<E> for InTransaction<'_, S, A> {
    fn max(&self) -> u32 {
        self.attempts.max()
    }

    fn after(
        &self,
        attempt: u32,
        previous: Duration,
        error: &Error<E>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<Duration> {
        self.attempts.after(attempt, previous, error, dice)
    }

    fn after_refusal(
        &self,
        refusals: u32,
        previous: Duration,
        retry_after: Option<Duration>,
        dice: impl FnOnce() -> fastrand::Rng,
    ) -> Option<(Duration, Duration)> {
        self.attempts.after_refusal(refusals, previous, retry_after, dice)
    }

    fn succeeded(&self) {
        self.attempts.succeeded();
    }
}

#[diagnostic::do_not_recommend]
impl<'s, S, F, Fut, T, E> Invoke<F> for InTransaction<'s, S, Once>
where
    S: Transactional,
    F: FnOnce(Tx<S::Transaction>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    T: Serialize + DeserializeOwned,
    E: fmt::Display,
{
    type Value = T;
    type Error = E;
    type Attempt = InTransactionFuture<'s, S, F, Fut, T>;
    type Place = Place;

    fn invoke(&self, operation: &mut Option<F>, place: Place) -> Option<Self::Attempt> {
        operation.take().map(|operation| InTransactionFuture::new(self.store, place, operation))
    }

    fn waits(attempt: Pin<&mut Self::Attempt>) -> Waits {
        attempt.waits()
    }
}

#[diagnostic::do_not_recommend]
impl<'s, S, F, Fut, T, E, P> Invoke<F> for InTransaction<'s, S, Retrying<P>>
where
    S: Transactional,
    F: Fn(Tx<S::Transaction>) -> Fut + Clone,
    Fut: Future<Output = Result<T, E>>,
    T: Serialize + DeserializeOwned,
    E: fmt::Display,
    P: Rules<E>,
{
    type Value = T;
    type Error = E;
    type Attempt = InTransactionFuture<'s, S, F, Fut, T>;
    type Place = Place;

    fn invoke(&self, operation: &mut Option<F>, place: Place) -> Option<Self::Attempt> {
        operation.clone().map(|operation| InTransactionFuture::new(self.store, place, operation))
    }

    fn waits(attempt: Pin<&mut Self::Attempt>) -> Waits {
        attempt.waits()
    }
}

#[diagnostic::do_not_recommend]
impl<T, E> Keep<T, E> for Committed
where
    T: Serialize + DeserializeOwned + 'static,
    E: Serialize + DeserializeOwned + 'static,
{
    const RECORDS: bool = true;
    const COMMITTED: bool = true;

    fn encode(ended: &Ended<T, E>) -> Option<Result<Outcome, EncodeError>> {
        <Recorded as Keep<T, E>>::encode(ended)
    }

    fn decode(outcome: &Outcome) -> Option<Result<Ended<T, E>, DecodeError>> {
        <Recorded as Keep<T, E>>::decode(outcome)
    }

    fn played(value: Prop) -> Result<T, Misfit> {
        value.take()
    }

    fn played_error(error: Prop) -> Result<E, Misfit> {
        error.take()
    }
}

type Doing<'s, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 's>>;

pin_project! {
    /// One attempt: begins a transaction, calls the operation, and commits its value with the record.
    #[must_use = "futures do nothing unless polled"]
    pub struct InTransactionFuture<'s, S: Transactional, F, Fut, T> {
        store: &'s S,
        key: Key,
        place: Option<Place>,
        operation: Option<F>,
        #[pin]
        state: State<'s, S::Transaction, Fut, T>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<'s, Transaction, Fut, T> {
        Beginning { beginning: Doing<'s, Transaction> },
        Running { #[pin] running: Fut, back: Back<Transaction> },
        Committing { committing: Doing<'s, ()>, value: Option<T> },
        /// An error outside the operation ended the attempt. The future stays pending, and the machine asks for the
        /// reason.
        Stopped { error: Option<RunError> },
    }
}

impl<'s, S: Transactional, F, Fut, T> InTransactionFuture<'s, S, F, Fut, T> {
    fn new(store: &'s S, place: Place, operation: F) -> Self {
        let state = State::Beginning { beginning: Box::pin(store.begin()) };
        Self { store, key: place.key.clone(), place: Some(place), operation: Some(operation), state }
    }

    fn waits(self: Pin<&mut Self>) -> Waits {
        match self.project().state.project() {
            StateProj::Beginning { .. } | StateProj::Running { .. } => Waits::ForOperation,
            StateProj::Committing { .. } => Waits::ForStore,
            StateProj::Stopped { error } => error.take().map_or(Waits::ForStore, Waits::Never),
        }
    }
}

impl<S, F, Fut, T, E> Future for InTransactionFuture<'_, S, F, Fut, T>
where
    S: Transactional,
    F: FnOnce(Tx<S::Transaction>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    T: Serialize + DeserializeOwned,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        loop {
            let stopped = match this.state.as_mut().project() {
                StateProj::Beginning { beginning } => match ready!(beginning.as_mut().poll(cx)) {
                    Ok(transaction) => {
                        let (tx, back) = Tx::lend(transaction);
                        // This state is left after its first poll, so the operation is still here.
                        let Some(operation) = this.operation.take() else { return Poll::Pending };
                        this.state.set(State::Running { running: operation(tx), back });
                        continue;
                    }
                    Err(error) => error.into(),
                },
                StateProj::Running { running, back } => {
                    // If the operation failed, the transaction comes back and is rolled back.
                    let value = ready!(running.poll(cx))?;
                    let (transaction, Some(place)) = (back.take(), this.place.take()) else {
                        return Poll::Pending;
                    };
                    match commit(*this.store, transaction, place, &value) {
                        Ok(committing) => {
                            this.state.set(State::Committing { committing, value: Some(value) });
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                StateProj::Committing { committing, value } => match ready!(committing.as_mut().poll(cx)) {
                    Ok(()) => return value.take().map_or(Poll::Pending, |value| Poll::Ready(Ok(value))),
                    // The writes of the operation cannot be committed. The step fails, and the writes are rolled back.
                    Err(StoreError::Unstorable { detail }) => refused(this.key, detail),
                    Err(error) => error.into(),
                },
                StateProj::Stopped { .. } => return Poll::Pending,
            };
            this.state.set(State::Stopped { error: Some(stopped) });
        }
    }
}

fn commit<'s, S: Transactional, T: Serialize + DeserializeOwned>(
    store: &'s S,
    transaction: Option<S::Transaction>,
    place: Place,
    value: &T,
) -> Result<Doing<'s, ()>, RunError> {
    let Place { key, input, lease, on_recorded } = place;
    let Some(transaction) = transaction else {
        return Err(refused(&key, "the operation kept the transaction: drop it before you return".into()));
    };
    let subject = || format!("step `{key}`").into();
    let payload = Payload::encode_to_return(value).map_err(|error| RunError::Unencodable {
        what: subject(),
        type_name: type_name::<T>().into(),
        reason: error.reason,
    })?;
    if payload.len() > Payload::MAX_BYTES {
        return Err(RunError::TooLarge { what: subject(), bytes: payload.len(), limit: Payload::MAX_BYTES });
    }
    let Some(lease) = lease else {
        return Err(refused(&key, "the run has no store, so there is nothing to commit with".into()));
    };
    let record = Record { key, outcome: Outcome::Value(payload), input };
    Ok(Box::pin(async move { store.commit(transaction, &lease, record, on_recorded).await }))
}

fn refused(key: &Key, reason: Box<str>) -> RunError {
    RunError::Refused { step: key.clone(), by: "transaction".into(), reason, retry_after: None }
}

impl<S: Transactional, F, Fut, T> fmt::Debug for InTransactionFuture<'_, S, F, Fut, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTransactionFuture").finish_non_exhaustive()
    }
}

//! Steps with an operation inside a transaction of the store, which commits the outcome too.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::Destination;
use super::invoke::{Invoke, Repeat};
use crate::error::RunError;
use crate::journal::{Key, Outcome, Payload, Record};
use crate::retry::{Retry, Rules};
use crate::store::{Back, StoreError, Transactional, Tx};

/// Calls the operation with a transaction of `store`. `A` is `()`, or a [`Retry`].
#[derive(Debug)]
pub struct InTransaction<'s, S, A> {
    store: &'s S,
    attempts: A,
}

impl<'s, S, A> InTransaction<'s, S, A> {
    /// Creates attempts with transactions of `store`.
    pub const fn new(store: &'s S, attempts: A) -> Self {
        Self { store, attempts }
    }
}

impl<'s, S, A: Repeat> Repeat for InTransaction<'s, S, A> {
    type Again<P> = InTransaction<'s, S, A::Again<P>>;

    fn again<P>(self, policy: Retry<P>) -> Self::Again<P> {
        InTransaction::new(self.store, self.attempts.again(policy))
    }
}

#[diagnostic::do_not_recommend]
impl<'s, S, F, Fut, T, E> Invoke<F> for InTransaction<'s, S, ()>
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
    type Rules = ();
    const COMMITS: bool = true;

    fn policy(&self) -> Option<&Retry> {
        None
    }

    fn invoke(&self, operation: &mut Option<F>, destination: Option<Destination>) -> Option<Self::Attempt> {
        Some(InTransactionFuture::new(self.store, destination?, operation.take()?))
    }

    fn poll_end(attempt: Pin<&mut Self::Attempt>, limits: impl FnOnce() -> Poll<RunError>) -> Poll<RunError> {
        attempt.poll_end(limits)
    }
}

#[diagnostic::do_not_recommend]
impl<'s, S, F, Fut, T, E, P> Invoke<F> for InTransaction<'s, S, Retry<P>>
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
    type Rules = P;
    const COMMITS: bool = true;

    fn policy(&self) -> Option<&Retry<P>> {
        Some(&self.attempts)
    }

    fn invoke(&self, operation: &mut Option<F>, destination: Option<Destination>) -> Option<Self::Attempt> {
        Some(InTransactionFuture::new(self.store, destination?, operation.clone()?))
    }

    fn poll_end(attempt: Pin<&mut Self::Attempt>, limits: impl FnOnce() -> Poll<RunError>) -> Poll<RunError> {
        attempt.poll_end(limits)
    }
}

type Doing<'s, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 's>>;

pin_project! {
    /// The future of one attempt. It begins a transaction, calls the operation with it, and then commits the writes of
    /// the operation together with the record of its value.
    #[must_use = "futures do nothing unless polled"]
    pub struct InTransactionFuture<'s, S: Transactional, F, Fut, T> {
        store: &'s S,
        key: Key,
        destination: Option<Destination>,
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
    fn new(store: &'s S, destination: Destination, operation: F) -> Self {
        let (key, operation) = (destination.key.clone(), Some(operation));
        let state = State::Beginning { beginning: Box::pin(store.begin()) };
        Self { store, key, destination: Some(destination), operation, state }
    }

    /// A limit ends the operation, but not a commit: the store may already have carried it out.
    fn poll_end(self: Pin<&mut Self>, limits: impl FnOnce() -> Poll<RunError>) -> Poll<RunError> {
        match self.project().state.project() {
            StateProj::Beginning { .. } | StateProj::Running { .. } => limits(),
            StateProj::Committing { .. } => Poll::Pending,
            StateProj::Stopped { error } => error.take().map_or(Poll::Pending, Poll::Ready),
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
                    let (transaction, Some(destination)) = (back.take(), this.destination.take()) else {
                        return Poll::Pending;
                    };
                    match commit(*this.store, transaction, destination, &value) {
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
    destination: Destination,
    value: &T,
) -> Result<Doing<'s, ()>, RunError> {
    let Destination { key, input, lease, on_recorded } = destination;
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

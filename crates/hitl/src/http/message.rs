use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::store::{RunId, StoreError};
use awaitly_core::{AsRunError, DurableRun, FromStep, KeepRun, RunError, Workflow};
use serde::Serialize;

use super::invalid::Invalid;
use super::start::{Ended, How, Pause, Start, needs_store};
use crate::answer::is_withdrawn;
use crate::caught::Caught;

/// A message of a queue, whichever that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the queue or its sender knows it by: the same when it is delivered again.
    pub id: String,
    /// What it holds.
    pub body: Vec<u8>,
}

/// What to tell the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handled {
    /// It is done, or waits for somebody: do not deliver it again.
    Ack,
    /// It will never be done: do not deliver it again, put it where somebody looks at it.
    AckWithError {
        /// Why.
        error: String,
    },
    /// Deliver it again.
    Nack {
        /// After how long, where that is known.
        retry_after: Option<Duration>,
        /// Why.
        reason: String,
    },
}

/// A message of a queue that becomes a run.
///
/// The run id is the id of the message, so one that is delivered again does nothing twice: it resumes a run that was
/// interrupted, and finds the outcome of one that has ended. No other run of the store may have that id: where the
/// ids of several queues could meet, put the name of the queue in front.
///
/// ```
/// use awaitly_core::{AsRunError, DurableRun, RunError, Workflow};
/// use awaitly_hitl::http::{Handled, Invalid, Message, MessageHandler};
/// use awaitly_persistence::MemoryStore;
///
/// fn cents(message: &Message) -> Result<u64, Invalid> {
///     serde_json::from_slice(&message.body).map_err(|error| Invalid::malformed(error.to_string()))
/// }
///
/// async fn book(run: DurableRun) -> Result<(), RunError> {
///     let cents: u64 = run.input()?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let bookings = Workflow::new("booking").store(MemoryStore::new());
/// let handler = MessageHandler::new(bookings, cents, book);
/// let message = |body: &str| Message { id: "m-1".to_owned(), body: body.into() };
/// assert_eq!(handler.handle(message("42")).await, Handled::Ack);
/// assert_eq!(handler.handle(message("42")).await, Handled::Ack);
/// assert!(matches!(handler.handle(message("{")).await, Handled::AckWithError { .. }));
/// # }
/// ```
///
/// # What is delivered again
/// A message whose run could not be executed now: another process executes it, the store fails, a guard refuses, a step
/// took too long, or the code does not fit the journal's version. And one whose error is [`retryable`](Self::retryable): if a
/// run has failed with such an error, the next delivery retries it, from the step that it failed on.
///
/// A run that waits needs no message any more, also if it waits in the middle of an undo, or for another run that its body
/// calls. It becomes due, and [`AutoResume`](crate::AutoResume) goes on with it.
///
/// What cannot be read, and all other errors, would be no better the next time.
pub struct MessageHandler<E> {
    start: Start<Message, E>,
    retryable: Arc<dyn Fn(&E) -> bool + Send + Sync>,
}

impl<E: AsRunError + Send + 'static> MessageHandler<E> {
    /// Messages that `parse` reads become runs of `workflow`, executed by `body`.
    ///
    /// # Panics
    /// Panics if the workflow has no store: a message that is delivered again would be executed again.
    pub fn new<X, P, I, F, Fut, T>(workflow: Workflow<X>, parse: P, body: F) -> Self
    where
        X: KeepRun<T, E> + 'static,
        P: Fn(&Message) -> Result<I, Invalid> + Send + Sync + 'static,
        I: Serialize,
        F: Fn(DurableRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize + Send + 'static,
        E: FromStep<RunError> + fmt::Display,
    {
        needs_store(&workflow.name(), workflow.has_store(), "a message that is delivered again");
        Self { start: Start::new(workflow, parse, body), retryable: Arc::new(|_| false) }
    }

    /// Which errors of your own may be gone the next time. Those in which there is a [`RunError`] do not come here.
    ///
    /// # Default
    /// None.
    #[must_use]
    pub fn retryable(mut self, retryable: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.retryable = Arc::new(retryable);
        self
    }

    /// Runs the run of a message, to its end or until it waits. If the caller's code panics that reads the message or
    /// judges its error, that is an error like any other, and logged.
    ///
    /// # Cancel safety
    /// Dropping the future drops the run where it stands; the next delivery resumes it.
    pub async fn handle(&self, message: Message) -> Handled
    where
        E: fmt::Display,
    {
        let id = message.id.clone();
        Caught::new(|| self.handled(message)).await.unwrap_or_else(|panic| {
            tracing::error!(
                message = id,
                panic = &*panic,
                "a message could not be handled: what handles it panicked"
            );
            Handled::AckWithError { error: format!("what handles the message panicked: {panic}") }
        })
    }

    async fn handled(&self, message: Message) -> Handled
    where
        E: fmt::Display,
    {
        let prepared = self.start.prepare(&message).map_err(|invalid| invalid.to_string());
        let run = RunId::new(message.id).map_err(|error| error.to_string());
        let (prepared, run) = match (prepared, run) {
            (Ok(prepared), Ok(run)) => (prepared, run.to_shared()),
            (Err(error), _) | (_, Err(error)) => return Handled::AckWithError { error },
        };
        let ended = prepared.execute(&run, How::Run).await;
        let begun = ended.begun;
        match self.judged(ended) {
            // It failed at an earlier delivery: this one is the retry.
            Judged { failed_for_now: true, .. } if !begun => {
                self.judged(prepared.execute(&run, How::Retry).await).handled
            }
            Judged { handled, .. } => handled,
        }
    }

    fn judged(&self, ended: Ended<E>) -> Judged
    where
        E: fmt::Display,
    {
        let Ended { result: Err(error), pause, .. } = ended else {
            return Judged { handled: Handled::Ack, failed_for_now: false };
        };
        if pause == Some(Pause::Waits) {
            return Judged { handled: Handled::Ack, failed_for_now: false };
        }
        let text = error.to_string();
        let (is_worth_another, failed_for_now, retry_after) = match error.as_run_error() {
            // Another run waits. This one does not, so that no answer would let it go on.
            Some(RunError::Waiting { .. }) => (true, false, None),
            Some(RunError::Busy { remaining, .. }) => (true, false, Some(*remaining)),
            Some(RunError::Store(StoreError::Unstorable { .. })) => (false, false, None),
            Some(RunError::Store(_) | RunError::NewerVersion { .. } | RunError::Migration { .. }) => {
                (true, false, None)
            }
            Some(RunError::Timeout { .. }) => (true, true, None),
            Some(error) if is_withdrawn(error) => (false, false, None),
            Some(RunError::Refused { retry_after, .. }) => (true, true, *retry_after),
            Some(_) => (false, false, None),
            None if pause == Some(Pause::Interrupted) => (true, false, None),
            None => {
                let retryable = (self.retryable)(&error);
                (retryable, retryable, None)
            }
        };
        let handled = if is_worth_another {
            Handled::Nack { retry_after, reason: text }
        } else {
            Handled::AckWithError { error: text }
        };
        Judged { handled, failed_for_now }
    }
}

/// What to tell the queue of a result, and whether it is an error that a retry of the run may be rid of.
struct Judged {
    handled: Handled,
    failed_for_now: bool,
}

impl<E> fmt::Debug for MessageHandler<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageHandler").finish_non_exhaustive()
    }
}

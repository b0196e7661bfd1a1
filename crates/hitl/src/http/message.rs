use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::store::{RunId, StoreError};
use awaitly_core::{AsRunError, DurableRun, FromStep, KeepRun, RunError, Workflow};
use serde::Serialize;

use super::problem::Problem;
use super::start::{Ended, How, Pause, Start, needs_store};
use crate::answer::is_withdrawn;
use crate::caught::Caught;

/// The response to the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handled {
    /// The message is done, or its run waits: do not deliver it again.
    Ack,
    /// The message cannot succeed: do not deliver it again, and move it to a place where a person examines it.
    AckWithError {
        /// The reason.
        error: String,
    },
    /// The message could not be handled now: deliver it again.
    Nack {
        /// The time to wait before the next delivery, if known.
        retry_after: Option<Duration>,
        /// The reason.
        reason: String,
    },
}

/// A handler that turns each message of a queue into a run.
///
/// The run id is the id of the message. A message that is delivered again therefore repeats no work: it resumes an
/// interrupted run, or returns the outcome of an ended one. No other run of the store may have the id: if the ids of
/// several queues could collide, prefix them with the name of the queue.
///
/// # Examples
/// ```
/// use awaitly_core::{AsRunError, DurableRun, RunError, Workflow};
/// use awaitly_hitl::http::{Handled, MessageHandler, Problem};
/// use awaitly_persistence::MemoryStore;
///
/// fn cents(message: &[u8]) -> Result<u64, Problem> {
///     serde_json::from_slice(message).map_err(|error| Problem::malformed(error.to_string()))
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
/// assert_eq!(handler.handle("m-1", b"42").await, Handled::Ack);
/// assert_eq!(handler.handle("m-1", b"42").await, Handled::Ack);
/// assert!(matches!(handler.handle("m-2", b"{").await, Handled::AckWithError { .. }));
/// # }
/// ```
///
/// # Repeated deliveries
/// The handler asks for another delivery ([`Handled::Nack`]) if the run could not be executed now: another process executes
/// it, the store failed, a guard refused, a step timed out, or the journal's version does not fit the code. It also does so
/// if the error is [`retryable`](Self::retryable). If the run has failed with such an error, the next delivery retries the
/// run from the failed step.
///
/// A run that waits needs no further delivery, even if it waits during an undo or for another run that its body calls:
/// a worker of `awaitly-engine` resumes it when it becomes due.
///
/// An unreadable message and any other error result in [`Handled::AckWithError`], because another delivery would not help.
pub struct MessageHandler<E> {
    start: Start<[u8], E>,
    retryable: Arc<dyn Fn(&E) -> bool + Send + Sync>,
}

impl<E: AsRunError + Send + 'static> MessageHandler<E> {
    /// Creates a handler that reads messages with `parse` and executes runs of `workflow` with `body`.
    ///
    /// # Panics
    /// Panics if the workflow has no store: a message that is delivered again would be executed again.
    pub fn new<X, P, I, F, Fut, T>(workflow: Workflow<X>, parse: P, body: F) -> Self
    where
        X: KeepRun<T, E> + 'static,
        P: Fn(&[u8]) -> Result<I, Problem> + Send + Sync + 'static,
        I: Serialize,
        F: Fn(DurableRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize + Send + 'static,
        E: FromStep<RunError> + fmt::Display,
    {
        needs_store(&workflow.name(), workflow.has_store(), "a message that is delivered again");
        Self { start: Start::new(workflow, parse, body), retryable: Arc::new(|_| false) }
    }

    /// Sets the errors that a later delivery may overcome. The handler calls `retryable` only with errors that contain no
    /// [`RunError`].
    ///
    /// # Default
    /// No error is retryable.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, Error, Workflow};
    /// # use awaitly_hitl::http::{Handled, MessageHandler};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let bookings = Workflow::new("booking").store(MemoryStore::new());
    /// let away = async |_: DurableRun| Err::<(), _>(Error::Failed("the bank is away".to_owned()));
    /// let handler = MessageHandler::new(bookings, |_| Ok(()), away)
    ///     .retryable(|error| matches!(error, Error::Failed(reason) if reason.ends_with("away")));
    /// assert!(matches!(handler.handle("m-1", b"").await, Handled::Nack { .. }));
    /// # }
    /// ```
    #[must_use]
    pub fn retryable(mut self, retryable: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.retryable = Arc::new(retryable);
        self
    }

    /// Executes the run of a message until it ends or waits. `id` is the id of the message in the queue or at its sender; it must
    /// not change if the message is delivered again.
    ///
    /// If `parse` or `retryable` panics, the panic is logged and the result is [`Handled::AckWithError`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the run is interrupted; the next delivery resumes it.
    pub async fn handle(&self, id: &str, message: &[u8]) -> Handled
    where
        E: fmt::Display,
    {
        Caught::new(|| self.handled(id, message)).await.unwrap_or_else(|panic| {
            tracing::error!(
                message = id,
                panic = &*panic,
                "a message could not be handled: its handler panicked"
            );
            Handled::AckWithError { error: format!("the handler of the message panicked: {panic}") }
        })
    }

    async fn handled(&self, id: &str, message: &[u8]) -> Handled
    where
        E: fmt::Display,
    {
        let prepared = self.start.prepare(message).map_err(|problem| problem.to_string());
        let run = RunId::new(id).map_err(|error| error.to_string());
        let (prepared, run) = match (prepared, run) {
            (Ok(prepared), Ok(run)) => (prepared, run.to_shared()),
            (Err(error), _) | (_, Err(error)) => return Handled::AckWithError { error },
        };
        let ended = prepared.execute(&run, How::Run).await;
        let begun = ended.begun;
        match self.judged(ended) {
            // The run failed during an earlier delivery, so this delivery retries it.
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
            // Another run waits. This run does not wait for an answer itself, so no answer would resume it.
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

/// The response to the queue, and whether a retry of the run may succeed.
struct Judged {
    handled: Handled,
    failed_for_now: bool,
}

impl<E> fmt::Debug for MessageHandler<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageHandler").finish_non_exhaustive()
    }
}

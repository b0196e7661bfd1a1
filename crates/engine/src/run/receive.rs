use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::extend::outside::{self, Errand};
use awaitly_core::journal::Key;
use awaitly_core::{DurableRun, RunError, WaitFor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::office_of;

/// A step that receives a message: [`RunExt::receive`](super::RunExt::receive) returns it. Await it, or pass it to
/// `step!`.
///
/// # Errors
/// Awaiting the step returns [`RunError::Waiting`] until a message comes. If the body returns this error, the run waits
/// without a task, and a message makes it due.
///
/// It returns [`RunError::Expired`] if no message comes in [time](Self::within), [`RunError::Undecodable`] if the
/// message is not a `T`, [`RunError::NoWorker`] if no worker executes the run, or one of the errors of recording a
/// step.
///
/// # Cancel safety
/// If the future is dropped, the store may have recorded a message already. The next execution then returns it.
///
/// # Resume
/// One commit takes the message from the mailbox and records it. In a resumed run, the step returns the recorded
/// message, and takes no other message.
///
/// # Examples
/// ```
/// use awaitly_core::clock::hours;
/// use awaitly_core::{DurableRun, RunError};
/// use awaitly_engine::RunExt;
///
/// /// Returns the customer's choice, or `None` if the customer does not choose within a day.
/// async fn choice(run: &DurableRun) -> Result<Option<String>, RunError> {
///     match run.receive("choice").within(hours(24)).await {
///         Err(RunError::Expired { .. }) => Ok(None),
///         choice => choice.map(Some),
///     }
/// }
/// ```
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Receive<'r, T> {
    run: &'r DurableRun,
    mailbox: Key,
    question: WaitFor<'r, T>,
}

/// The question of the waiting entry, for people who read it.
#[derive(Serialize)]
struct Request<'a> {
    mailbox: &'a str,
}

impl<'r, T: DeserializeOwned> Receive<'r, T> {
    pub(super) fn new(run: &'r DurableRun, mailbox: Key) -> Self {
        let question = run.wait_for(mailbox.clone()).request(&Request { mailbox: &mailbox });
        Self { run, mailbox, question }
    }

    /// Sets the time to wait for a message. The time begins when the run finds the mailbox empty.
    ///
    /// # Default
    /// No limit.
    pub fn within(mut self, time: Duration) -> Self {
        self.question = self.question.expires_in(time);
        self
    }

    /// Records the message under `key` instead of the name of the mailbox: see
    /// [`Step::key`](awaitly_core::step::Step::key).
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.question = self.question.key(key);
        self
    }
}

impl<'r, T: DeserializeOwned + Send + 'r> IntoFuture for Receive<'r, T> {
    type Output = Result<T, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'r>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { run, mailbox, question } = self;
        Box::pin(async move {
            let key = outside::key_of(&question);
            let office = office_of(run, &key)?;
            let fetch = Errand::Fetch(Box::new(move |lease| {
                Box::pin(async move { office.receive(lease, Arc::from(&*mailbox), key).await })
            }));
            outside::with_errand(question, fetch).await
        })
    }
}

impl<T> fmt::Debug for Receive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receive").field("mailbox", &self.mailbox).finish_non_exhaustive()
    }
}

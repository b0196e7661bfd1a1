use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::RunError;
use awaitly_core::journal::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{AnswerRecord, with_reason_only};
use crate::ask::Ask;

/// A step that another program completes with a value, for example a webhook.
///
/// Created with [`Approvals::callback`](crate::Approvals::callback). Unlike [`Run::wait_for`](awaitly_core::Run::wait_for), a
/// callback has a [`Shape`](crate::Shape), so the inbox refuses a value that is not a `T`, and the journal records the sender
/// and the time. For errors, cancel safety and resuming, see [`Approval`](crate::Approval).
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError, step};
/// use awaitly_hitl::Approvals;
///
/// async fn order(run: &DurableRun) -> Result<u64, RunError> {
///     let paid: u64 = step!(run.callback("payment").metadata("order-42"));
///     Ok(paid)
/// }
/// ```
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Callback<'r, T>(Ask<'r, T>);

impl<'r, T: DeserializeOwned> Callback<'r, T> {
    pub(crate) const fn new(ask: Ask<'r, T>) -> Self {
        Self(ask)
    }

    /// Sets information for the program that answers.
    ///
    /// # Errors
    /// Awaiting the step returns [`RunError::Unencodable`] if `metadata` has no JSON form.
    pub fn metadata<V: Serialize + ?Sized>(mut self, metadata: &V) -> Self {
        let metadata = self.0.encode(metadata);
        self.0.request().metadata = metadata;
        self
    }

    /// Sets the time for an answer. It begins when the run asks, and is measured by the store's clock.
    ///
    /// # Default
    /// The question never expires.
    pub fn expires_in(self, delay: Duration) -> Self {
        Self(self.0.expires_in(delay))
    }

    /// Waits under `key` instead of the step's name: see [`Step::key`](awaitly_core::step::Step::key).
    pub fn key(self, key: impl Into<Key>) -> Self {
        Self(self.0.key(key))
    }

    /// Returns the value with the sender and the time.
    ///
    /// # Errors
    /// Returns the errors of awaiting the step.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{DurableRun, RunError};
    /// use awaitly_hitl::Approvals;
    ///
    /// async fn payment(run: &DurableRun) -> Result<(u64, Option<String>), RunError> {
    ///     let answer = run.callback("payment").answer().await?;
    ///     Ok((answer.value, answer.by))
    /// }
    /// ```
    pub async fn answer(self) -> Result<AnswerRecord<T>, RunError> {
        self.0.answer().await.map_err(with_reason_only)
    }
}

impl<'r, T: DeserializeOwned + Send + 'r> IntoFuture for Callback<'r, T> {
    type Output = Result<T, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'r>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.answer().await.map(|answer| answer.value) })
    }
}

impl<T> fmt::Debug for Callback<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("step", &self.0.name()).finish_non_exhaustive()
    }
}

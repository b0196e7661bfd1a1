use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use awaitly_core::RunError;
use awaitly_core::journal::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, with_reason_only};
use crate::ask::Ask;

/// A step that another program completes with a value: a webhook, a job elsewhere.
///
/// Made with [`Approvals::callback`](crate::Approvals::callback). It is [`Run::wait_for`](awaitly_core::Run::wait_for)
/// with two things more: a value that is no `T` is refused when it is given, and who gave it and when is recorded.
/// Errors, cancel safety and resuming are those of [`Approval`](crate::Approval).
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Callback<'r, T>(Ask<'r, T>);

impl<'r, T: DeserializeOwned> Callback<'r, T> {
    pub(crate) const fn new(ask: Ask<'r, T>) -> Self {
        Self(ask)
    }

    /// What else the other side has to know.
    ///
    /// # Errors
    /// Awaiting the step gives [`RunError::Unencodable`] where the value has no JSON form.
    pub fn metadata<V: Serialize + ?Sized>(mut self, metadata: &V) -> Self {
        let metadata = self.0.encode(metadata);
        self.0.request().metadata = metadata;
        self
    }

    /// How long there is for an answer, from the moment of asking and by the store's clock. For ever unless set.
    pub fn expires_in(self, delay: Duration) -> Self {
        Self(self.0.expires_in(delay))
    }

    /// Waits under `key` instead of the step's name: see [`Step::key`](awaitly_core::step::Step::key).
    pub fn key(self, key: impl Into<Key>) -> Self {
        Self(self.0.key(key))
    }

    /// The value with who gave it and when.
    ///
    /// # Errors
    /// As for awaiting it.
    pub async fn answer(self) -> Result<Answer<T>, RunError> {
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

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use awaitly_core::journal::{EncodeError, Payload};
use awaitly_core::store::{Dispatch, Message, RunId, StoreError, Unsent};
use serde::Serialize;

/// A message to a run: [`RunHandle::send`](super::RunHandle::send) returns it, and `.await` sends it.
#[must_use = "nothing happens until it is awaited"]
pub struct Sending<S> {
    store: S,
    message: Result<Message, SendError>,
}

/// The reason why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message has no JSON form.
    #[error("the message cannot be sent as a `{type_name}` ({reason}): change the type")]
    Unencodable {
        /// The type of the message.
        type_name: Box<str>,
        /// The reason.
        reason: Box<str>,
    },
    /// The store refused the message.
    #[error(transparent)]
    Unsent(#[from] Unsent),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl<S: Dispatch + Clone> Sending<S> {
    pub(super) fn new<M: Serialize + ?Sized>(store: S, run: RunId, mailbox: Arc<str>, message: &M) -> Self {
        let payload = Payload::encode(message)
            .map_err(|EncodeError { type_name, reason, .. }| SendError::Unencodable { type_name, reason });
        Self { store, message: payload.map(|payload| Message::new(run, mailbox, payload)) }
    }

    /// Sets an id that makes the message idempotent: a run gets at most one message with this id. A repeated call
    /// succeeds while the run has not ended. After that, it fails with [`Unsent::Ended`], like every other message.
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.message = self.message.map(|message| message.id(id));
        self
    }
}

impl<S: Dispatch + Clone> IntoFuture for Sending<S> {
    type Output = Result<(), SendError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { store, message } = self;
        Box::pin(async move {
            let sent = store.send(vec![message?]).await?.pop();
            Ok(sent.unwrap_or(Ok(()))?)
        })
    }
}

impl<S> fmt::Debug for Sending<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("message", &self.message).finish_non_exhaustive()
    }
}

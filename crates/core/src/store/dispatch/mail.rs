use std::fmt;
use std::sync::Arc;

use crate::journal::{Payload, Status};
use crate::store::RunId;

/// A message to a run.
///
/// ```
/// use awaitly_core::journal::Payload;
/// use awaitly_core::store::{Message, RunId};
///
/// let order = RunId::new("order-42").unwrap();
/// let note = Message::new(order, "note", Payload::encode("ring the bell").unwrap()).id("note-7");
/// assert_eq!(note.mailbox.as_ref(), "note");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Message {
    /// The run.
    pub run: RunId,
    /// The mailbox of the run.
    pub mailbox: Arc<str>,
    /// An id that makes the message idempotent: a run gets at most one message with an id.
    pub id: Option<Arc<str>>,
    /// The content.
    pub payload: Payload,
}

impl Message {
    /// The maximum number of messages that a run has not received yet, in all its mailboxes.
    pub const MOST: usize = 10_000;

    /// The maximum size of a message, in bytes.
    pub const MAX_BYTES: usize = 1024 * 1024;

    /// Creates a message.
    pub fn new(run: RunId, mailbox: impl Into<Arc<str>>, payload: Payload) -> Self {
        Self { run, mailbox: mailbox.into(), id: None, payload }
    }

    /// Sets an id that makes the message idempotent.
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Checks whether a store may accept the message. `status` is the status of the run, if the run exists, and
    /// `waiting` is the number of messages that the run has not received yet.
    ///
    /// # Errors
    /// Returns [`Unsent`] if the store must refuse the message.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::{Payload, Status};
    /// use awaitly_core::store::{Message, RunId, Unsent};
    ///
    /// let note = Message::new(RunId::new("order-42").unwrap(), "note", Payload::encode("hello").unwrap());
    /// assert_eq!(note.check(Some(Status::Waiting), 0), Ok(()));
    /// assert_eq!(note.check(Some(Status::Completed), 0), Err(Unsent::Ended { status: Status::Completed }));
    /// ```
    pub fn check(&self, status: Option<Status>, waiting: usize) -> Result<(), Unsent> {
        let status = status.ok_or(Unsent::NoSuchRun)?;
        let bytes = self.payload.len();
        if status.has_ended() {
            return Err(Unsent::Ended { status });
        }
        if bytes > Self::MAX_BYTES {
            return Err(Unsent::TooLarge { bytes });
        }
        if waiting >= Self::MOST { Err(Unsent::Full) } else { Ok(()) }
    }
}

// The content may be a secret.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("run", &self.run)
            .field("mailbox", &self.mailbox)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The reason why a message was not sent. The store has changed no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsent {
    /// There is no such run.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// The run has ended, so it receives no more messages.
    #[error("the run is {status}: it receives no more messages")]
    Ended {
        /// The status of the run.
        status: Status,
    },
    /// The run has [`Message::MOST`] messages that it has not received yet.
    #[error("the run has {} messages that it has not received yet: send again later", Message::MOST)]
    Full,
    /// The message is too large.
    #[error(
        "the message has {bytes} bytes, but the limit is {}: send its location instead",
        Message::MAX_BYTES
    )]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
}

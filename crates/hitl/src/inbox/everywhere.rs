use awaitly_core::journal::{Key, Payload};
use awaitly_core::store::{Operate, RunId, WaitQuery};
use serde::Serialize;

use super::reply::{Said, Verb};
use super::{Inbox, InboxError};

/// An answer to the questions of all runs under one key.
///
/// Made with [`Inbox::everywhere`]. Each run is answered by itself: what comes back says for each of them whether it was
/// taken.
///
/// # Errors
/// [`InboxError::Store`] where the questions cannot be listed; those answered by then stay so.
#[derive(Debug)]
#[must_use = "an answer is given by `approve`, `reject`, `answer` and the like"]
pub struct Everywhere<'i, S> {
    inbox: &'i Inbox<S>,
    key: Key,
    said: Said,
}

/// What became of the answer to each run.
type Each = Vec<(RunId, Result<(), InboxError>)>;

impl<'i, S: Operate> Everywhere<'i, S> {
    pub(super) fn new(inbox: &'i Inbox<S>, key: Key) -> Self {
        Self { inbox, key, said: Said::default() }
    }

    /// In whose name.
    pub fn by(mut self, person: impl Into<String>) -> Self {
        self.said.by = Some(person.into());
        self
    }

    /// What is said with it.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.said.note = Some(note.into());
        self
    }

    /// By which way it came, for those who look at it later.
    pub fn via(mut self, way: impl Into<String>) -> Self {
        self.said.via = Some(way.into());
        self
    }

    /// Approves what was proposed in each of them, as it stands.
    ///
    /// # Errors
    /// [`InboxError::Store`]
    pub async fn accept(self) -> Result<Each, InboxError> {
        self.say(&Verb::Accept).await
    }

    /// Approves in all of them, with `value`.
    ///
    /// # Errors
    /// [`InboxError::Store`]
    pub async fn approve<T: Serialize + ?Sized>(self, value: &T) -> Result<Each, InboxError> {
        let value = Payload::encode(value)?;
        self.say(&Verb::Approve(value)).await
    }

    /// Rejects in all of them.
    ///
    /// # Errors
    /// [`InboxError::Store`]
    pub async fn reject<R: Serialize + ?Sized>(self, reason: &R) -> Result<Each, InboxError> {
        let reason = Payload::encode(reason)?;
        self.say(&Verb::Reject(reason)).await
    }

    /// Gives a value to all of them.
    ///
    /// # Errors
    /// [`InboxError::Store`]
    pub async fn answer<T: Serialize + ?Sized>(self, value: &T) -> Result<Each, InboxError> {
        let value = Payload::encode(value)?;
        self.say(&Verb::Give(value)).await
    }

    /// Takes all of them back.
    ///
    /// # Errors
    /// [`InboxError::Store`]
    pub async fn cancel(self, reason: impl Into<String>) -> Result<Each, InboxError> {
        self.say(&Verb::Withdraw(reason.into())).await
    }

    /// Says in all of them that the time for an answer is over.
    ///
    /// # Errors
    /// [`InboxError::Store`]
    pub async fn expire(self) -> Result<Each, InboxError> {
        self.say(&Verb::Expire).await
    }

    async fn say(self, verb: &Verb) -> Result<Each, InboxError> {
        let Self { inbox, key, said } = self;
        let mut each = Vec::new();
        let mut query = WaitQuery::new().key(key);
        loop {
            let page = inbox.list(query.clone()).await?;
            for question in page.items {
                let given = inbox.give(&question, &said, verb.clone()).await;
                each.push((question.run, given));
            }
            match page.next {
                Some(next) => query = query.after(next),
                None => return Ok(each),
            }
        }
    }
}

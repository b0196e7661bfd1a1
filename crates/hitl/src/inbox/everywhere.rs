use awaitly_core::journal::{Key, Payload};
use awaitly_core::store::{Operate, RunId, WaitQuery};
use serde::Serialize;

use super::reply::{Said, Verb};
use super::{Inbox, InboxError};

/// An answer to the questions of all runs under one key.
///
/// Created with [`Inbox::everywhere`]. The methods answer each run on its own, and return a list with the result for each
/// run: one run's refusal does not affect the others.
///
/// # Errors
/// Each method returns [`InboxError::Store`] if the store fails to list the questions. Answers that the store has recorded
/// by then remain.
///
/// # Cancel safety
/// Dropping the future keeps the answers that the store has recorded, and leaves the other questions open.
///
/// # Examples
/// ```
/// # async fn approve_all(store: awaitly_persistence::MemoryStore) -> Result<(), awaitly_hitl::InboxError> {
/// let inbox = awaitly_hitl::Inbox::new(store);
/// for (run, answered) in inbox.everywhere("manager").by("ada").accept().await? {
///     println!("{run}: {answered:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "call `approve`, `reject`, `answer` or a similar method to give the answer"]
pub struct Everywhere<'i, S> {
    inbox: &'i Inbox<S>,
    key: Key,
    said: Said,
}

/// The result of the answer for each run.
type Each = Vec<(RunId, Result<(), InboxError>)>;

impl<'i, S: Operate> Everywhere<'i, S> {
    pub(super) fn new(inbox: &'i Inbox<S>, key: Key) -> Self {
        Self { inbox, key, said: Said::default() }
    }

    /// Sets the name of the person, in whose name the answers are recorded.
    pub fn by(mut self, person: impl Into<String>) -> Self {
        self.said.by = Some(person.into());
        self
    }

    /// Adds a remark to the answer.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.said.note = Some(note.into());
        self
    }

    /// Sets the channel through which the answer comes, for example `chat`; the journal records it.
    pub fn via(mut self, way: impl Into<String>) -> Self {
        self.said.via = Some(way.into());
        self
    }

    /// Approves each run's own proposal, unchanged.
    ///
    /// # Errors
    /// Returns [`InboxError::Store`] if the questions cannot be listed.
    pub async fn accept(self) -> Result<Each, InboxError> {
        self.say(&Verb::Accept).await
    }

    /// Approves with `value`.
    ///
    /// # Errors
    /// Returns [`InboxError::Unencodable`] if `value` has no JSON form, or [`InboxError::Store`] if the questions cannot be
    /// listed.
    pub async fn approve<T: Serialize + ?Sized>(self, value: &T) -> Result<Each, InboxError> {
        let value = Payload::encode(value)?;
        self.say(&Verb::Approve(value)).await
    }

    /// Rejects with `reason`.
    ///
    /// # Errors
    /// Returns [`InboxError::Unencodable`] if `reason` has no JSON form, or [`InboxError::Store`] if the questions cannot be
    /// listed.
    pub async fn reject<R: Serialize + ?Sized>(self, reason: &R) -> Result<Each, InboxError> {
        let reason = Payload::encode(reason)?;
        self.say(&Verb::Reject(reason)).await
    }

    /// Gives `value` to each run.
    ///
    /// # Errors
    /// Returns [`InboxError::Unencodable`] if `value` has no JSON form, or [`InboxError::Store`] if the questions cannot be
    /// listed.
    pub async fn answer<T: Serialize + ?Sized>(self, value: &T) -> Result<Each, InboxError> {
        let value = Payload::encode(value)?;
        self.say(&Verb::Give(value)).await
    }

    /// Withdraws the questions: see [`Reply::cancel`](crate::Reply::cancel).
    ///
    /// # Errors
    /// Returns [`InboxError::Store`] if the questions cannot be listed.
    pub async fn cancel(self, reason: impl Into<String>) -> Result<Each, InboxError> {
        self.say(&Verb::Withdraw(reason.into())).await
    }

    /// Ends the time for an answer: see [`Reply::expire`](crate::Reply::expire).
    ///
    /// # Errors
    /// Returns [`InboxError::Store`] if the questions cannot be listed.
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

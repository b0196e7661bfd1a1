use std::fmt;

use awaitly_core::RunError;
use awaitly_core::journal::{Outcome, Payload};
use awaitly_core::store::{self, Operate};
use serde::Serialize;
use serde_json::Value;

use super::{Inbox, InboxError, Target};
use crate::answer::{AnswerRecord, Instead, is_blank, nobody, withdrawn};
use crate::request::{Question, QuestionKind};

/// An answer to one question, before it is given.
///
/// Created with [`Inbox::at`], [`Inbox::with_token`] or [`Inbox::everywhere`]. First set the person, a remark and the channel, then give the
/// answer with one of the methods. The inbox looks up the question at that time. If the question is answered and asked
/// again between the look-up and the write, the store refuses the answer.
///
/// # Errors
/// All methods that answer return [`InboxError`] if the answer is refused; no state is changed then. If they return
/// [`InboxError::Store`], the store may or may not have recorded the answer.
///
/// # Cancel safety
/// If the future of an answer is dropped, the store may or may not have recorded the answer.
///
/// # Examples
/// ```
/// # async fn reject(inbox: awaitly_hitl::Inbox<awaitly_persistence::MemoryStore>) -> Result<(), awaitly_hitl::InboxError> {
/// let reply = inbox.at("trip-7", "manager").by("ada").via("chat");
/// let question = reply.show().await?;
/// println!("{}", question.prompt.unwrap_or_default());
/// reply.note("ask again in May").reject("no budget").await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "call `approve`, `reject`, `answer` or a similar method to give the answer"]
pub struct Reply<'i, S> {
    inbox: &'i Inbox<S>,
    target: Target,
    said: Said,
}

/// The information that accompanies an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) by: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) via: Option<String>,
}

/// The answer, or the action that takes its place.
#[derive(Debug, Clone)]
pub(crate) enum Verb {
    Approve(Payload),
    Accept,
    Reject(Payload),
    Give(Payload),
    Withdraw(String),
    Expire,
}

impl Verb {
    fn has_no_reason(&self) -> bool {
        match self {
            Self::Reject(reason) => reason.decode().is_ok_and(|reason| is_blank(&reason)),
            Self::Withdraw(reason) => is_blank(&Value::from(reason.as_str())),
            Self::Approve(_) | Self::Accept | Self::Give(_) | Self::Expire => false,
        }
    }
}

impl<'i, S: Operate> Reply<'i, S> {
    pub(super) fn new(inbox: &'i Inbox<S>, target: Target) -> Self {
        Self { inbox, target, said: Said::default() }
    }

    /// Sets the name of the person who answers. The journal records it with the answer. If the question has
    /// answerers, the inbox accepts an answer only from one of them.
    pub fn by(mut self, person: impl Into<String>) -> Self {
        self.said.by = Some(person.into());
        self
    }

    /// Adds a remark to the answer.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.said.note = Some(note.into());
        self
    }

    /// Sets the channel through which the answer comes, for example `chat`. The journal records the channel, unless the
    /// question is [`Plain`](crate::QuestionKind::Plain).
    pub fn via(mut self, way: impl Into<String>) -> Self {
        self.said.via = Some(way.into());
        self
    }

    /// Looks up and returns the question.
    ///
    /// # Errors
    /// Returns [`InboxError`] if the question does not wait for an answer, or if the store fails.
    pub async fn show(&self) -> Result<Question, InboxError> {
        self.inbox.find(&self.target).await
    }

    /// Approves with `value`.
    ///
    /// If the run proposed another value, the journal records the proposal with the answer, as
    /// [`AnswerRecord::proposed`](crate::AnswerRecord::proposed).
    ///
    /// # Errors
    /// Returns [`InboxError`] if the answer is refused; no state is changed then.
    pub async fn approve<T: Serialize + ?Sized>(self, value: &T) -> Result<(), InboxError> {
        let value = Payload::encode(value)?;
        self.say(Verb::Approve(value)).await
    }

    /// Approves the value that the run proposed, unchanged.
    ///
    /// # Errors
    /// Returns [`InboxError::NoProposal`] if the run proposed no value, or another [`InboxError`] if the answer is
    /// refused; no state is changed then.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// let body = async |run: &DurableRun| run.approval("manager").proposal(&4200_u64).await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// inbox.at("trip-7", "manager").accept().await?;
    /// assert_eq!(expenses.run("trip-7", body).await, Ok(4200));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn accept(self) -> Result<(), InboxError> {
        self.say(Verb::Accept).await
    }

    /// Approves with a value that replaces the proposal. Equivalent to [`approve`](Self::approve), under a name that shows the
    /// intent.
    ///
    /// # Errors
    /// Returns [`InboxError`] if the answer is refused; no state is changed then.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// let body = async |run: &DurableRun| run.approval("manager").proposal(&4200_u64).await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// inbox.at("trip-7", "manager").by("ada").note("without the taxi").edit(&4000_u64).await?;
    /// assert_eq!(expenses.run("trip-7", body).await, Ok(4000));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn edit<T: Serialize + ?Sized>(self, value: &T) -> Result<(), InboxError> {
        self.approve(value).await
    }

    /// Rejects. The run receives `reason` as JSON.
    ///
    /// # Errors
    /// Returns [`InboxError::NoReason`] if the reason is `null` or empty, or another [`InboxError`] if the answer is refused;
    /// no state is changed then.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, RunError, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// let body = async |run: &DurableRun| run.approval::<u64>("manager").await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// inbox.at("trip-7", "manager").by("ada").reject("no budget").await?;
    /// let rejected = RunError::Rejected { step: "manager".into(), reason: "\"no budget\"".into() };
    /// assert_eq!(expenses.run("trip-7", body).await, Err(rejected));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reject<R: Serialize + ?Sized>(self, reason: &R) -> Result<(), InboxError> {
        let reason = Payload::encode(reason)?;
        self.say(Verb::Reject(reason)).await
    }

    /// Gives a value to a [`Callback`](crate::Callback) or to a [`Run::wait_for`](awaitly_core::Run::wait_for).
    ///
    /// # Errors
    /// Returns [`InboxError`] if the answer is refused; no state is changed then.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// let body = async |run: &DurableRun| run.callback::<u64>("payment").await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// inbox.at("trip-7", "payment").by("bank").answer(&4200_u64).await?;
    /// assert_eq!(expenses.run("trip-7", body).await, Ok(4200));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn answer<T: Serialize + ?Sized>(self, value: &T) -> Result<(), InboxError> {
        let value = Payload::encode(value)?;
        self.say(Verb::Give(value)).await
    }

    /// Withdraws the question. The step returns [`RunError::Refused`] with the name of the person and the reason.
    ///
    /// This is for operators: the inbox does not check whether the person may answer.
    ///
    /// # Errors
    /// Returns [`InboxError::NoReason`] if the reason is empty, or another [`InboxError`] if the question does not wait
    /// for an answer; no state is changed then.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, RunError, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// let body = async |run: &DurableRun| run.approval::<u64>("manager").await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// inbox.at("trip-7", "manager").by("ops").withdraw("asked by mistake").await?;
    /// assert!(matches!(expenses.run("trip-7", body).await, Err(RunError::Refused { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn withdraw(self, reason: impl Into<String>) -> Result<(), InboxError> {
        self.say(Verb::Withdraw(reason.into())).await
    }

    /// Ends the time for an answer now. The step returns [`RunError::Expired`].
    ///
    /// This is for operators: the inbox does not check whether the person may answer.
    ///
    /// # Errors
    /// Returns [`InboxError`] if the question does not wait for an answer; no state is changed then.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, RunError, Workflow};
    /// # use awaitly_hitl::{Approvals, Inbox};
    /// # use awaitly_persistence::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
    /// let body = async |run: &DurableRun| run.approval::<u64>("manager").await;
    /// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
    ///
    /// inbox.at("trip-7", "manager").by("ops").expire().await?;
    /// assert_eq!(expenses.run("trip-7", body).await, Err(RunError::Expired { step: "manager".into() }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn expire(self) -> Result<(), InboxError> {
        self.say(Verb::Expire).await
    }

    pub(crate) async fn say(self, verb: Verb) -> Result<(), InboxError> {
        let question = self.show().await?;
        self.inbox.give(&question, &self.said, verb).await
    }
}

impl<S: Operate> Inbox<S> {
    /// Gives an answer to `question`.
    pub(crate) async fn give(&self, question: &Question, said: &Said, verb: Verb) -> Result<(), InboxError> {
        let outcome = self.outcome(question, said, verb).await?;
        if outcome.payload().len() > Payload::MAX_BYTES {
            return Err(InboxError::TooLarge { bytes: outcome.payload().len() });
        }
        let answer = store::Answer::new(question.run.clone(), question.key.clone(), outcome);
        Ok(self.store().answer(answer.token(question.token.clone())).await??)
    }

    /// Returns the outcome to record, or the reason why the question does not take this answer.
    async fn outcome(&self, question: &Question, said: &Said, verb: Verb) -> Result<Outcome, InboxError> {
        let Question { kind, answerers, .. } = question;
        let is_open = answerers.is_empty() || said.by.as_ref().is_some_and(|by| answerers.contains(by));
        if !is_open && !matches!(verb, Verb::Withdraw(_) | Verb::Expire) {
            return Err(InboxError::NotAnAnswerer { by: said.by.clone(), answerers: answerers.clone() });
        }
        if verb.has_no_reason() {
            return Err(InboxError::NoReason);
        }
        match (kind, verb) {
            (QuestionKind::Approval, Verb::Approve(value)) => {
                self.check_value(question, &value)?;
                let proposal = question.proposal.as_ref();
                let edited = proposal.filter(|proposal| value.decode().ok().as_ref() != Some(*proposal));
                Ok(Outcome::Value(self.sign(value, said, edited.cloned(), None).await?))
            }
            (QuestionKind::Approval, Verb::Accept) => {
                let proposal = question.proposed.clone().ok_or(InboxError::NoProposal)?;
                Ok(Outcome::Value(self.sign(proposal, said, None, None).await?))
            }
            (QuestionKind::Approval | QuestionKind::Callback, Verb::Reject(reason)) => {
                Ok(Outcome::Failed(self.sign(reason, said, None, None).await?))
            }
            (QuestionKind::Callback, Verb::Give(value)) => {
                self.check_value(question, &value)?;
                Ok(Outcome::Value(self.sign(value, said, None, None).await?))
            }
            (QuestionKind::Approval | QuestionKind::Callback, Verb::Withdraw(reason)) => {
                let (reason, instead) = (Payload::encode(&reason)?, Some(Instead::Withdrew));
                Ok(Outcome::Failed(self.sign(reason, said, None, instead).await?))
            }
            (QuestionKind::Approval | QuestionKind::Callback, Verb::Expire) => {
                let reason = Payload::encode("its time was cut short")?;
                Ok(Outcome::Failed(self.sign(reason, said, None, Some(Instead::Expired)).await?))
            }
            (QuestionKind::Plain, Verb::Give(value)) => {
                self.check_value(question, &value)?;
                Ok(Outcome::Value(value))
            }
            (QuestionKind::Plain, Verb::Reject(reason)) => Ok(Outcome::Failed(reason)),
            (QuestionKind::Plain | QuestionKind::Unknown, Verb::Withdraw(reason)) => {
                let by = said.by.clone().unwrap_or_else(nobody);
                stopped(&withdrawn(question.key.clone(), &by, &reason))
            }
            (QuestionKind::Plain | QuestionKind::Unknown, Verb::Expire) => {
                stopped(&RunError::Expired { step: question.key.clone() })
            }
            (kind, _) => Err(InboxError::OtherKind { kind: *kind }),
        }
    }

    fn check_value(&self, question: &Question, value: &Payload) -> Result<(), InboxError> {
        question.shape.check(&decoded(value)?)?;
        self.check(&question.key, value)
    }

    /// Encodes an answer with the person, the channel, the time and, if the value differs from it, the proposal.
    async fn sign(
        &self,
        value: Payload,
        said: &Said,
        proposed: Option<Value>,
        instead: Option<Instead>,
    ) -> Result<Payload, InboxError> {
        let Said { by, note, via } = said.clone();
        let (edited, at) = (proposed.is_some(), self.store().now().await?);
        Ok(Payload::encode(&AnswerRecord { value, by, note, via, edited, proposed, at, instead })?)
    }
}

fn stopped(error: &RunError) -> Result<Outcome, InboxError> {
    Ok(Outcome::Stopped(Payload::encode(error)?))
}

fn decoded(value: &Payload) -> Result<Value, InboxError> {
    value.decode().map_err(|error| InboxError::Unencodable(error.reason.into()))
}

impl<S> fmt::Debug for Reply<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("said", &self.said).finish_non_exhaustive()
    }
}

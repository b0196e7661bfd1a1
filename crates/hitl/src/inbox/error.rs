use awaitly_core::journal::{EncodeError, Payload, Unanswered};
use awaitly_core::store::StoreError;

use crate::request::QuestionKind;
use crate::shape::WrongShape;

/// The reasons for which an inbox refuses an answer. A refused answer changes no state. If the error is
/// [`InboxError::Store`], the store may or may not have recorded the answer.
///
/// # Examples
/// ```
/// # use awaitly_core::{DurableRun, Workflow};
/// # use awaitly_hitl::{Approvals, Inbox, InboxError};
/// # use awaitly_persistence::MemoryStore;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let (expenses, inbox) = (Workflow::new("expense").store(store.clone()), Inbox::new(store));
/// use awaitly_core::journal::Unanswered;
///
/// let unknown = inbox.approve("trip-7", "manager", &true).await;
/// assert_eq!(unknown, Err(InboxError::Unanswered(Unanswered::NoSuchRun)));
///
/// let body = async |run: &DurableRun| run.approval::<u64>("manager").await;
/// assert!(expenses.run("trip-7", body).await.is_err(), "the run waits");
/// let wrong = inbox.approve("trip-7", "manager", "many").await.unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "the answer does not fit: the answer should be a whole number, not below 0, and is text"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InboxError {
    /// No question waits under this run and key. For example, an earlier answer was accepted, the question expired, the
    /// run ended or does not exist, or the run has not asked yet.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// No question waits with this token.
    #[error(
        "no question waits with this token: it was answered, or its run has ended, or the token is wrong"
    )]
    UnknownToken,
    /// The answer comes from a person who is not one of the question's answerers.
    #[error("{} may not answer this: the question is for {}", by.as_deref().unwrap_or("a caller without a name"), answerers.join(", "))]
    NotAnAnswerer {
        /// The name that the answer gave, if any.
        by: Option<String>,
        /// The answerers of the question.
        answerers: Vec<String>,
    },
    /// The question takes another kind of answer. An approval takes an approval or a rejection; a callback or a plain
    /// question takes a value or a rejection; a question of a newer version takes no answer.
    #[error("{}", match kind {
        QuestionKind::Approval => "this is an approval: approve or reject it",
        QuestionKind::Callback | QuestionKind::Plain => "this waits for a value: answer it",
        QuestionKind::Unknown => "this was asked by a newer version: answer it with that version",
    })]
    OtherKind {
        /// The kind of the question.
        kind: QuestionKind,
    },
    /// The question was withdrawn.
    #[error("{by} withdrew this question ({reason}): it takes no answer")]
    Withdrawn {
        /// The name of the person who withdrew the question; `inbox` if the withdrawal has no name.
        by: String,
        /// The reason.
        reason: String,
    },
    /// A rejection or a withdrawal has no reason.
    #[error("a rejection or withdrawal needs a reason: give one")]
    NoReason,
    /// [`Reply::accept`](crate::Reply::accept) was called, but the run proposed no value.
    #[error("the run proposed no value: approve with one")]
    NoProposal,
    /// The answer does not have the shape that the run asks for.
    #[error("the answer does not fit: {0}")]
    WrongShape(#[from] WrongShape),
    /// The answer does not decode as the type that [`Inbox::expects`](crate::Inbox::expects) names for this key.
    #[error("the answer is not a `{expected}`: {reason}")]
    WrongType {
        /// The name of the type.
        expected: String,
        /// The error of the decoder.
        reason: String,
    },
    /// The answer has no JSON form.
    #[error("the answer has no JSON form: {0}")]
    Unencodable(String),
    /// The answer is larger than a journal accepts.
    #[error("the answer has {bytes} bytes, but a journal accepts at most {max}", max = Payload::MAX_BYTES)]
    TooLarge {
        /// The size of the answer in bytes.
        bytes: usize,
    },
    /// The store failed. If it failed during the write, the answer may or may not be recorded.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl From<EncodeError> for InboxError {
    fn from(error: EncodeError) -> Self {
        Self::Unencodable(format!("`{}`: {}", error.type_name, error.reason))
    }
}

use awaitly_core::journal::{EncodeError, Payload, Unanswered};
use awaitly_core::store::StoreError;

use crate::request::Asks;
use crate::shape::Misfit;

/// Why an answer was not taken. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InboxError {
    /// Nothing waits for this answer: it was answered before, its time is over, its run has ended, or it was never
    /// asked.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// No question waits with this token.
    #[error(
        "nothing waits with this token: it was answered, or its run has ended, or the token is not the right one"
    )]
    UnknownToken,
    /// Somebody answered who is not asked.
    #[error("{} may not answer this: it is asked of {}", by.as_deref().unwrap_or("somebody without a name"), answerers.join(", "))]
    NotAsked {
        /// Who answered, where that was said.
        by: Option<String>,
        /// Who is asked.
        answerers: Vec<String>,
    },
    /// An approval is approved or rejected, anything else is given a value.
    #[error("{}", match asks {
        Asks::Approval => "this is an approval: approve or reject it",
        Asks::Callback | Asks::Plain => "this waits for a value: answer it",
        Asks::Unknown => "this was asked by a newer version: answer it with that one",
    })]
    OtherKind {
        /// What the question takes.
        asks: Asks,
    },
    /// The question was taken back.
    #[error("{by} took this question back ({reason}): there is nothing to answer")]
    Withdrawn {
        /// Who took it back; `inbox` if that was not said.
        by: String,
        /// Why.
        reason: String,
    },
    /// Somebody rejected, or took a question back, and gave no reason.
    #[error("a rejection and a withdrawal have a reason: say why")]
    NoReason,
    /// There is nothing to accept as it stands.
    #[error("nothing was proposed here: approve with a value")]
    NoProposal,
    /// The answer does not have the form that the run asks for.
    #[error("the answer does not fit: {0}")]
    Misfit(#[from] Misfit),
    /// The answer is not of the type that is expected under this key.
    #[error("the answer is no `{expected}`: {reason}")]
    WrongType {
        /// The type.
        expected: String,
        /// What the decoder said.
        reason: String,
    },
    /// The answer has no JSON form.
    #[error("the answer has no JSON form: {0}")]
    Unencodable(String),
    /// The answer is larger than a journal takes.
    #[error("the answer has {bytes} bytes, at most {max} are taken", max = Payload::MAX_BYTES)]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl From<EncodeError> for InboxError {
    fn from(error: EncodeError) -> Self {
        Self::Unencodable(format!("`{}`: {}", error.type_name, error.reason))
    }
}

use awaitly_core::RunError;
use awaitly_core::journal::{Key, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What somebody answered, as it is recorded in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The answer itself. Of a rejection, the reason.
    pub value: T,
    /// Who answered, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What was said with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// By which way it came, where that was said: `link`, `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Whether it is another value than the one that was proposed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// When, by the store's clock.
    pub at: Timestamp,
}

/// What became of an approval, for those who go on whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling<T> {
    /// Somebody approved.
    Approved(Answer<T>),
    /// Somebody rejected; the value is the reason.
    Rejected(Answer<Value>),
    /// Nobody answered in time.
    Expired,
    /// The question was taken back: by whom, and why.
    Withdrawn {
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
}

impl<T> Ruling<T> {
    /// From what the step ended in. What leaves the question open, or is no ruling, stays an error.
    pub(crate) fn of(ended: Result<Answer<T>, RunError>) -> Result<Self, RunError> {
        match ended {
            Ok(answer) => Ok(Self::Approved(answer)),
            Err(RunError::Rejected { step, reason }) => match rejection(&reason) {
                Some(answer) => Ok(Self::Rejected(answer)),
                None => Err(RunError::Rejected { step, reason }),
            },
            Err(RunError::Expired { .. }) => Ok(Self::Expired),
            Err(RunError::Refused { by, reason, .. }) => {
                Ok(Self::Withdrawn { by: by.into_string(), reason: reason.into_string() })
            }
            Err(error) => Err(error),
        }
    }
}

/// The rejection that was recorded. `None`: it did not come through an inbox.
fn rejection(recorded: &str) -> Option<Answer<Value>> {
    serde_json::from_str(recorded).ok()
}

/// The error of a rejected step, with the reason alone.
pub(crate) fn with_reason_only(error: RunError) -> RunError {
    match error {
        RunError::Rejected { step, reason } => {
            let reason = rejection(&reason).map_or(reason, |answer| answer.value.to_string().into());
            RunError::Rejected { step, reason }
        }
        error => error,
    }
}

/// What a question ends in that was taken back.
pub(crate) fn withdrawn(step: Key, by: &str, reason: &str) -> RunError {
    RunError::Refused { step, by: by.into(), reason: reason.into(), retry_after: None }
}

use awaitly_core::RunError;
use awaitly_core::journal::{Key, Payload, Timestamp};
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
    /// Why it is no answer to what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instead: Option<Instead>,
}

/// What somebody did instead of answering. The value is the reason then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Instead {
    /// Took the question back.
    Withdrew,
    /// Said that its time is over.
    Expired,
}

/// What became of an approval, for those who go on whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling<T> {
    /// Somebody approved.
    Approved(Answer<T>),
    /// Somebody rejected; the value is the reason.
    Rejected(Answer<Value>),
    /// Nobody answered in time; with who said so, where the time was cut short.
    Expired(Option<Answer<Value>>),
    /// The question was taken back; the value is the reason.
    Withdrawn(Answer<Value>),
}

impl<T> Ruling<T> {
    /// From what the step ended in. What leaves the question open, or is no ruling, stays an error.
    pub(crate) fn of(ended: Result<Answer<T>, RunError>) -> Result<Self, RunError> {
        match ended {
            Ok(answer) => Ok(Self::Approved(answer)),
            Err(RunError::Rejected { step, reason }) => match rejection(&reason) {
                Some(answer) => Ok(match answer.instead {
                    None => Self::Rejected(answer),
                    Some(Instead::Expired) => Self::Expired(Some(answer)),
                    Some(Instead::Withdrew) => Self::Withdrawn(answer),
                }),
                None => Err(RunError::Rejected { step, reason }),
            },
            Err(RunError::Expired { .. }) => Ok(Self::Expired(None)),
            Err(error) => Err(error),
        }
    }
}

/// What is recorded of an answer of which nothing else is known.
pub(crate) fn answered(value: Payload, at: Timestamp) -> Payload {
    let Ok(decoded) = value.decode::<Value>() else { return value };
    let (by, note, via, edited, instead) = (None, None, None, false, None);
    Payload::encode(&Answer { value: decoded, by, note, via, edited, at, instead }).unwrap_or(value)
}

/// The rejection that was recorded. `None`: it did not come through an inbox.
fn rejection(recorded: &str) -> Option<Answer<Value>> {
    serde_json::from_str(recorded).ok()
}

/// The error of a step that was not approved, with the reason alone.
pub(crate) fn with_reason_only(error: RunError) -> RunError {
    let RunError::Rejected { step, reason } = error else { return error };
    let Some(Answer { value, by, instead, .. }) = rejection(&reason) else {
        return RunError::Rejected { step, reason };
    };
    match instead {
        None => RunError::Rejected { step, reason: value.to_string().into() },
        Some(Instead::Expired) => RunError::Expired { step },
        Some(Instead::Withdrew) => {
            let by = by.unwrap_or_else(|| "inbox".to_owned()).into();
            let reason = value.as_str().map_or_else(|| value.to_string(), str::to_owned).into();
            RunError::Refused { step, by, reason, retry_after: None }
        }
    }
}

/// What a question ends in that was taken back, where that is no answer with a name and a time.
pub(crate) fn withdrawn(step: Key, by: &str, reason: &str) -> RunError {
    RunError::Refused { step, by: by.into(), reason: reason.into(), retry_after: None }
}

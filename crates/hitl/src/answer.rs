use awaitly_core::RunError;
use awaitly_core::journal::{Key, Outcome, Payload, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hidden::is_hidden;

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
    /// The proposal, if the answer is another value. Answers that an older version recorded do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<Value>,
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
    let (by, note, via, edited, proposed, instead) = (None, None, None, false, None, None);
    Payload::encode(&Answer { value: decoded, by, note, via, edited, proposed, at, instead }).unwrap_or(value)
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
            let by = by.unwrap_or_else(nobody);
            withdrawn(step, &by, &words(&value))
        }
    }
}

/// Begins the reason of a [`RunError::Refused`] that stands for a question that was taken back, and for no guard.
const TAKEN_BACK: &str = "the question was taken back: ";

/// Returns the error in which a question ends that was taken back.
pub(crate) fn withdrawn(step: Key, by: &str, reason: &str) -> RunError {
    let reason = format!("{TAKEN_BACK}{reason}").into();
    RunError::Refused { step, by: by.into(), reason, retry_after: None }
}

/// Whether a run failed because its question was taken back: trying again asks nobody.
#[cfg(feature = "http")]
pub(crate) fn is_withdrawn(error: &RunError) -> bool {
    matches!(error, RunError::Refused { reason, .. } if reason.starts_with(TAKEN_BACK))
}

/// Returns who took a question back and why, if that is its recorded outcome.
pub(crate) fn who_withdrew(outcome: &Outcome) -> Option<(String, String)> {
    let payload = outcome.payload();
    if let Outcome::Stopped(_) = outcome {
        let RunError::Refused { by, reason, .. } = payload.decode().ok()? else { return None };
        let reason = reason.strip_prefix(TAKEN_BACK).unwrap_or(&reason).to_owned();
        return Some((by.into(), reason));
    }
    let Answer { value, by, instead, .. } = payload.decode::<Answer<Value>>().ok()?;
    (instead? == Instead::Withdrew).then(|| (by.unwrap_or_else(nobody), words(&value)))
}

/// Stands in the place of a person without a name.
pub(crate) fn nobody() -> String {
    "inbox".to_owned()
}

/// A reason for people to read.
fn words(reason: &Value) -> String {
    reason.as_str().map_or_else(|| reason.to_string(), str::to_owned)
}

/// Whether a value says nothing: `null`, a text that shows no character, or a list or an object of such values.
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.chars().all(|char| char.is_whitespace() || is_hidden(char)),
        Value::Array(items) => items.iter().all(is_blank),
        Value::Object(names) => names.values().all(is_blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

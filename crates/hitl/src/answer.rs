use awaitly_core::RunError;
use awaitly_core::journal::{Key, Outcome, Payload, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hidden::is_hidden;

/// An answer, as the journal records it.
///
/// # Examples
/// ```
/// use awaitly_hitl::AnswerRecord;
///
/// let recorded = r#"{ "value": 4000, "by": "ada", "edited": true, "proposed": 4200, "at": 1790000000000 }"#;
/// let answer: AnswerRecord<u64> = serde_json::from_str(recorded)?;
/// assert_eq!((answer.value, answer.by.as_deref()), (4000, Some("ada")));
/// assert_eq!(answer.proposed, Some(4200.into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AnswerRecord<T> {
    /// The value of the answer; the reason, if the answer is a rejection.
    pub value: T,
    /// The name of the person, if the caller of the inbox gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// A remark that came with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The channel through which the answer came, for example `link` or `http`, if the caller named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Whether the value differs from the proposal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// The proposal, if the value differs from it. Answers that an older version recorded do not contain it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<Value>,
    /// The time of the answer, by the store's clock.
    pub at: Timestamp,
    /// The action that took the place of an answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instead: Option<Instead>,
}

/// An action that ended the question without an answer. The value of the [`AnswerRecord`] is then the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Instead {
    /// An operator withdrew the question.
    Withdrew,
    /// An operator ended the time for an answer.
    Expired,
}

/// The result of an approval, for callers that handle each case: see [`Approval::resolution`](crate::Approval::resolution).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution<T> {
    /// A person approved.
    Approved(AnswerRecord<T>),
    /// A person rejected; the value is the reason.
    Rejected(AnswerRecord<Value>),
    /// The time for an answer ended. If an operator [ended it early](crate::Reply::expire), contains the record of that
    /// action; otherwise `None`.
    Expired(Option<AnswerRecord<Value>>),
    /// The question was withdrawn; the value is the reason.
    Withdrawn(AnswerRecord<Value>),
}

impl<T> Resolution<T> {
    /// Converts the result of the step. An error that leaves the question open, or that resolves nothing, stays an error.
    pub(crate) fn of(ended: Result<AnswerRecord<T>, RunError>) -> Result<Self, RunError> {
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

/// Wraps a bare value, for which the journal records only the time of the answer.
pub(crate) fn answered(value: Payload, at: Timestamp) -> Payload {
    let Ok(decoded) = value.decode::<Value>() else { return value };
    let (by, note, via, edited, proposed, instead) = (None, None, None, false, None, None);
    Payload::encode(&AnswerRecord { value: decoded, by, note, via, edited, proposed, at, instead })
        .unwrap_or(value)
}

/// Decodes a recorded rejection. Returns `None` if the rejection did not come through an inbox.
fn rejection(recorded: &str) -> Option<AnswerRecord<Value>> {
    serde_json::from_str(recorded).ok()
}

/// Reduces the recorded answer in an error to its reason.
pub(crate) fn with_reason_only(error: RunError) -> RunError {
    let RunError::Rejected { step, reason } = error else { return error };
    let Some(AnswerRecord { value, by, instead, .. }) = rejection(&reason) else {
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

/// The prefix of the reason in a [`RunError::Refused`] that means a withdrawn question, as opposed to a refusal by a guard.
/// Journals contain the prefix, so it must not change.
const TAKEN_BACK: &str = "the question was taken back: ";

/// Returns the error of a step whose question was withdrawn.
pub(crate) fn withdrawn(step: Key, by: &str, reason: &str) -> RunError {
    let reason = format!("{TAKEN_BACK}{reason}").into();
    RunError::Refused { step, by: by.into(), reason, retry_after: None }
}

/// Returns whether `error` means that a question was withdrawn. Retrying the run then does not ask the question again.
#[cfg(feature = "http")]
pub(crate) fn is_withdrawn(error: &RunError) -> bool {
    matches!(error, RunError::Refused { reason, .. } if reason.starts_with(TAKEN_BACK))
}

/// Returns the name and the reason of a withdrawal, if `outcome` is one.
pub(crate) fn who_withdrew(outcome: &Outcome) -> Option<(String, String)> {
    let payload = outcome.payload();
    if let Outcome::Stopped(_) = outcome {
        let RunError::Refused { by, reason, .. } = payload.decode().ok()? else { return None };
        let reason = reason.strip_prefix(TAKEN_BACK).unwrap_or(&reason).to_owned();
        return Some((by.into(), reason));
    }
    let AnswerRecord { value, by, instead, .. } = payload.decode::<AnswerRecord<Value>>().ok()?;
    (instead? == Instead::Withdrew).then(|| (by.unwrap_or_else(nobody), words(&value)))
}

/// Returns the name that stands for a person without a name.
pub(crate) fn nobody() -> String {
    "inbox".to_owned()
}

/// Formats a reason for people: a string without its quotes, any other value as JSON.
fn words(reason: &Value) -> String {
    reason.as_str().map_or_else(|| reason.to_string(), str::to_owned)
}

/// Returns whether a value is empty: `null`, a string without a visible character, or a list or object of empty values.
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.chars().all(|char| char.is_whitespace() || is_hidden(char)),
        Value::Array(items) => items.iter().all(is_blank),
        Value::Object(names) => names.values().all(is_blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

use serde::{Deserialize, Serialize};

use super::{Outcome, Payload, Timestamp};

/// The attempts that a step had so far, as its journal keeps them until the step has an outcome.
///
/// A journal holds them under the key of the step as an [`Outcome::Stopped`], and the outcome of the step takes the
/// place of that record. Therefore no store has to know of them.
///
/// ```
/// use awaitly_core::journal::{Retrying, Timestamp};
///
/// let (since, until) = (Timestamp::from_millis(0), Timestamp::from_millis(60_000));
/// let outcome = Retrying { attempts: 2, delay_ms: 60_000, until, since }.into_outcome();
/// assert_eq!(outcome.payload().as_str(), r#"{"retrying":{"attempts":2,"delay_ms":60000,"until":60000,"since":0}}"#);
/// assert_eq!(outcome.as_retrying().unwrap().attempts, 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrying {
    /// The number of attempts that failed.
    pub attempts: u32,
    /// The delay after the last of them, in milliseconds.
    pub delay_ms: u64,
    /// When the next attempt begins.
    pub until: Timestamp,
    /// When the first attempt began.
    pub since: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Retrying(Retrying),
}

impl Retrying {
    /// Returns the record's form.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        // Numbers always have a JSON form.
        let payload = Payload::encode(&Kept::Retrying(self));
        Outcome::Stopped(payload.unwrap_or_else(|_| Payload::from_stored("null")))
    }
}

impl Outcome {
    /// Returns whether it is no outcome yet, but a count of attempts.
    #[must_use]
    pub fn is_retrying(&self) -> bool {
        matches!(self, Self::Stopped(payload) if payload.as_str().starts_with(r#"{"retrying""#))
    }

    /// Returns the attempts of a step that has no outcome yet.
    #[must_use]
    pub fn as_retrying(&self) -> Option<Retrying> {
        if !self.is_retrying() {
            return None;
        }
        self.payload().decode().map(|Kept::Retrying(retrying)| retrying).ok()
    }
}

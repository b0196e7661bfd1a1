use serde::{Deserialize, Serialize};

use super::{Outcome, Payload, Timestamp};

/// The attempts of a step so far. The journal keeps them until the step has an outcome.
///
/// A journal holds them under the step's key as an [`Outcome::Stopped`], and the outcome of the step later replaces
/// this record. Stores therefore need no support for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrying {
    /// The number of failed attempts.
    pub attempts: u32,
    /// The delay after the last failed attempt, in milliseconds.
    pub delay_ms: u64,
    /// The time at which the next attempt begins.
    pub until: Timestamp,
    /// The time at which the first attempt began.
    pub since: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Retrying(Retrying),
}

impl Retrying {
    /// Returns the outcome that a journal records.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        // Numbers always have a JSON form.
        let payload = Payload::encode(&Kept::Retrying(self));
        Outcome::Stopped(payload.unwrap_or_else(|_| Payload::from_stored("null")))
    }
}

impl Outcome {
    /// Returns whether this is a record of attempts instead of a final outcome.
    #[must_use]
    pub fn is_retrying(&self) -> bool {
        matches!(self, Self::Stopped(payload) if payload.as_str().starts_with(r#"{"retrying""#))
    }

    /// Returns the recorded attempts of a step without a final outcome.
    ///
    /// ```
    /// use awaitly_core::journal::{Record, Timestamp};
    ///
    /// /// Returns the time of the next attempt, if the step is between two attempts.
    /// fn next_attempt(record: &Record) -> Option<Timestamp> {
    ///     record.outcome.as_retrying().map(|retrying| retrying.until)
    /// }
    /// ```
    #[must_use]
    pub fn as_retrying(&self) -> Option<Retrying> {
        if !self.is_retrying() {
            return None;
        }
        self.payload().decode().map(|Kept::Retrying(retrying)| retrying).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_back_from_their_stored_form() {
        let (since, until) = (Timestamp::from_millis(0), Timestamp::from_millis(60_000));
        let outcome = Retrying { attempts: 2, delay_ms: 60_000, until, since }.into_outcome();
        let text = r#"{"retrying":{"attempts":2,"delay_ms":60000,"until":60000,"since":0}}"#;
        assert_eq!(outcome.payload().as_str(), text);
        assert_eq!(outcome.as_retrying().unwrap().attempts, 2);
        assert_eq!(Outcome::Stopped(Payload::from_stored("null")).as_retrying(), None);
    }
}

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Key, Payload, Record};

/// The journal of a run as a value. Keep it in any place, for example in a file or a queue, and resume the run from it
/// with [`Workflow::resume`](crate::Workflow::resume).
///
/// It holds the outcomes of all executions so far. Its JSON form is:
///
/// ```json
/// {"format":1,"run":"order-42","workflow":"checkout","version":1,"records":[
///   {"key":"reserve","outcome":{"value":{"id":7}}}
/// ]}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResumeState {
    /// The version of the format. This library writes [`FORMAT`](Self::FORMAT).
    pub format: u32,
    /// The run id.
    pub run: Arc<str>,
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The version of the workflow.
    pub version: u32,
    /// The input of the run, if the run has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// The recorded outcomes, in the order in which they were recorded.
    pub records: Vec<Record>,
}

impl ResumeState {
    /// The version of the format that this library writes, and the newest that it reads.
    pub const FORMAT: u32 = 1;

    pub(crate) const fn new(
        run: Arc<str>,
        workflow: Arc<str>,
        version: u32,
        input: Option<Payload>,
        records: Vec<Record>,
    ) -> Self {
        Self { format: Self::FORMAT, run, workflow, version, input, records }
    }

    /// Returns the record under `key`, if there is one.
    ///
    /// ```
    /// use awaitly_core::journal::ResumeState;
    ///
    /// let state: ResumeState = serde_json::from_str(
    ///     r#"{"format":1,"run":"order-42","workflow":"checkout","version":1,
    ///         "records":[{"key":"charge","outcome":{"value":4200}}]}"#,
    /// ).unwrap();
    /// let charged = state.record("charge").map(|record| record.outcome.payload().decode());
    /// assert_eq!(charged, Some(Ok(4200)));
    /// assert!(state.record("ship").is_none());
    /// ```
    #[must_use]
    pub fn record(&self, key: &str) -> Option<&Record> {
        self.records.iter().find(|record| &*record.key == key)
    }

    /// Removes the outcome under `key`, so the step runs again. Returns whether there was an outcome.
    ///
    /// ```
    /// use awaitly_core::journal::{Outcome, ResumeState};
    ///
    /// /// Forgets the recorded errors, so their steps run again.
    /// fn forget_errors(state: &mut ResumeState) {
    ///     state.records.retain(|record| matches!(record.outcome, Outcome::Value(_)));
    /// }
    ///
    /// # let mut state: ResumeState = serde_json::from_str(r#"{"format":1,"run":"order-42","workflow":"checkout","version":1,
    /// #     "records":[{"key":"quote","outcome":{"value":490}},{"key":"charge","outcome":{"failed":"declined"}}]}"#).unwrap();
    /// forget_errors(&mut state);
    /// assert!(state.forget("quote")); // and one value, which is out of date
    /// assert!(state.records.is_empty());
    /// ```
    pub fn forget(&mut self, key: &str) -> bool {
        let before = self.records.len();
        self.records.retain(|record| &*record.key != key);
        self.records.len() < before
    }

    /// Returns the keys of the recorded steps, in the order in which they were recorded.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.records.iter().map(|record| &record.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Outcome;

    fn state() -> ResumeState {
        let record = |key: &'static str, value: u32| Record {
            key: key.into(),
            outcome: Outcome::Value(Payload::encode(&value).unwrap()),
            input: None,
        };
        ResumeState::new(
            "order-42".into(),
            "checkout".into(),
            1,
            None,
            vec![record("reserve", 1), record("charge", 2)],
        )
    }

    #[test]
    fn state_comes_back_from_json() {
        let json = serde_json::to_string(&state()).unwrap();
        assert_eq!(serde_json::from_str::<ResumeState>(&json).unwrap(), state());
        assert!(json.contains(r#"{"key":"charge","outcome":{"value":2}}"#), "{json}");
    }

    #[test]
    fn forgotten_step_is_gone() {
        let mut state = state();
        assert!(state.forget("charge"));
        assert!(!state.forget("charge"));
        assert_eq!(state.keys().collect::<Vec<_>>(), [&Key::from("reserve")]);
    }
}

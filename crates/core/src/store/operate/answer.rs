use std::fmt;

use crate::journal::{Key, Outcome};
use crate::store::RunId;

/// An answer from a person or another system to the question that a run asks.
///
/// ```
/// use awaitly_core::RunError;
/// use awaitly_core::journal::{Outcome, Payload};
/// use awaitly_core::store::{Answer, RunId};
///
/// let order = RunId::new("order-42").unwrap();
/// let rejected = RunError::Rejected { step: "manager".into(), reason: r#""too expensive""#.into() };
/// let outcome = Outcome::Stopped(Payload::encode(&rejected).unwrap());
/// let answer = Answer::new(order, "manager", outcome).token("k3Vd9s");
/// assert!(!format!("{answer:?}").contains("k3Vd9s"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The run that waits.
    pub run: RunId,
    /// The key under which the run waits.
    pub key: Key,
    /// The token that came with the question. `None`: the store does not check the token.
    pub token: Option<Box<str>>,
    /// The outcome to record for the step.
    pub outcome: Outcome,
}

impl Answer {
    /// Creates an answer to the question that the run asks under `key`.
    #[must_use]
    pub fn new(run: RunId, key: impl Into<Key>, outcome: Outcome) -> Self {
        Self { run, key: key.into(), token: None, outcome }
    }

    /// Adds the token that came with the question.
    #[must_use]
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        self.token = Some(token.into());
        self
    }
}

// The token is a secret, so `Debug` leaves it out.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("run", &self.run)
            .field("key", &self.key)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

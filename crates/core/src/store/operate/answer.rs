use std::fmt;

use crate::journal::{Key, Outcome, Unanswered};
use crate::store::RunId;

/// An answer from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The run that waits.
    pub run: RunId,
    /// The key under which it waits.
    pub key: Key,
    /// The token that came with the question. `None`: it is not checked.
    pub token: Option<Box<str>>,
    /// What is recorded as the outcome of the step.
    pub outcome: Outcome,
}

impl Answer {
    /// An answer to what the run asks under `key`.
    #[must_use]
    pub fn new(run: RunId, key: impl Into<Key>, outcome: Outcome) -> Self {
        Self { run, key: key.into(), token: None, outcome }
    }

    /// Shows the token that came with the question.
    #[must_use]
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        self.token = Some(token.into());
        self
    }
}

// The token does not belong in logs.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("run", &self.run)
            .field("key", &self.key)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Answered {
    /// It is recorded as the outcome of the step.
    Taken,
    /// Nothing was changed.
    Refused(Unanswered),
}

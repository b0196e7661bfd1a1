use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// An effect of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// The idempotency key: the run and the step.
    pub(crate) key: String,
    /// The number of the worker that caused it.
    pub(crate) life: u32,
    /// A random number that distinguishes it from other effects with this key.
    pub(crate) nonce: u64,
    /// The time at which the execution of the body began, in microseconds since 1970. 0 in tests without the engine.
    pub(crate) begun: u64,
}

/// The beginning of a run, or its end as far as its worker knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Mark {
    Begun(String),
    Ended(String),
}

/// Counts the lines of a file.
pub(crate) fn count(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

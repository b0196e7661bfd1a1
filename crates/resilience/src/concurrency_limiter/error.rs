use awaitly_core::guard::Refusal;

use crate::name::Name;

/// No slot is free, and the call may not wait for one.
///
/// As a refusal it names no time to ask again: a slot is free when a call ends, and the limiter does not know when that
/// will be. A step's retry waits for its own delay instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("concurrency limit `{name}` is reached: {running} calls run and {waiting} wait, so ask again later")]
pub struct Full {
    /// The limiter.
    pub name: Name,
    /// How many calls were running.
    pub running: usize,
    /// How many were waiting.
    pub waiting: usize,
}

impl From<Full> for Refusal {
    fn from(Full { name, running, waiting }: Full) -> Self {
        Self::new(
            &*name,
            format!(
                "concurrency limit is reached: {running} calls run and {waiting} wait, so ask again later"
            ),
        )
    }
}

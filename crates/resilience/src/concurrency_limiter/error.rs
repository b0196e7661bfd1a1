use awaitly_core::guard::Refusal;

use crate::name::Name;

/// No slot is free, and the call may not wait: the queue is full, or
/// [`turn_away`](super::ConcurrencyLimiter::turn_away) ended its wait.
///
/// The refusal states no time to ask again: a slot becomes free when a call ends, and the limiter cannot predict that
/// moment. A step's retry waits for its own delay instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("concurrency limit `{name}` is reached: {running} calls run and {waiting} wait, so ask again later")]
pub struct Full {
    /// The limiter.
    pub name: Name,
    /// The number of calls that ran at the refusal.
    pub running: usize,
    /// The number of calls that waited at the refusal.
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

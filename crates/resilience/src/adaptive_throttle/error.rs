use std::time::Duration;

use awaitly_core::guard::Refusal;

use crate::name::Name;

/// A refusal by a throttle whose pause is longer than its [`longest_pause`](super::Options::longest_pause).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("throttle `{name}` is paused: ask again in {} ms", .retry_after.as_nanos().div_ceil(1_000_000))]
pub struct Paused {
    /// The throttle.
    pub name: Name,
    /// The remaining time of the pause.
    pub retry_after: Duration,
}

impl From<Paused> for Refusal {
    fn from(Paused { name, retry_after }: Paused) -> Self {
        let millis = retry_after.as_nanos().div_ceil(1_000_000);
        Self::new(&*name, format!("throttle is paused: ask again in {millis} ms"))
            .with_retry_after(retry_after)
    }
}

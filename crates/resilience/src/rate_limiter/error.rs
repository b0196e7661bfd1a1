use std::fmt;
use std::time::Duration;

use awaitly_core::guard::Refusal;

use crate::name::Name;

/// There is no token for the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate limit `{name}` is reached: {}", NextMove(*.retry_after))]
pub struct RateLimited {
    /// The limiter.
    pub name: Name,
    /// How long until there may be one; behind callers that wait, an estimate. `None` if there never is one, since the
    /// call costs more than the limiter can hold.
    pub retry_after: Option<Duration>,
}

impl From<RateLimited> for Refusal {
    fn from(RateLimited { name, retry_after }: RateLimited) -> Self {
        let refusal = Self::new(&*name, format!("rate limit is reached: {}", NextMove(retry_after)));
        match retry_after {
            Some(after) => refusal.with_retry_after(after),
            None => refusal,
        }
    }
}

/// In whole milliseconds, rounded up.
struct NextMove(Option<Duration>);

impl fmt::Display for NextMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(after) => write!(f, "ask again in {} ms", after.as_nanos().div_ceil(1_000_000)),
            None => f.write_str("the call costs more than its burst, so split it"),
        }
    }
}

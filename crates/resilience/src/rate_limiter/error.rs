use std::fmt;
use std::time::Duration;

use awaitly_core::guard::Refusal;

use crate::name::Name;

/// No token is available for the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate limit `{name}` is reached: {}", NextMove(*.retry_after))]
pub struct RateLimited {
    /// The limiter.
    pub name: Name,
    /// The time until enough tokens for the call may be available. If other calls wait, the time is an estimate. `None`
    /// if the call costs more tokens than the limiter can hold.
    pub retry_after: Option<Duration>,
}

impl From<RateLimited> for Refusal {
    fn from(RateLimited { name, retry_after }: RateLimited) -> Self {
        let mut refusal = Self::new(&*name, format!("rate limit is reached: {}", NextMove(retry_after)));
        refusal.retry_after = retry_after;
        refusal
    }
}

/// The advice in an error text, in whole milliseconds, rounded up.
struct NextMove(Option<Duration>);

impl fmt::Display for NextMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(after) => write!(f, "ask again in {} ms", after.as_nanos().div_ceil(1_000_000)),
            None => f.write_str("the call costs more than its burst, so split it"),
        }
    }
}

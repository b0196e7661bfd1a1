use std::fmt;
use std::time::Duration;

use awaitly_core::guard::Refusal;

use super::State;
use crate::name::Name;

/// The breaker refuses the call, because the service failed too often or its probes are still running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker `{name}` is {state}: {}", NextMove(*.retry_after))]
pub struct Open {
    /// The breaker.
    pub name: Name,
    /// [`State::Open`], or [`State::HalfOpen`] while all probes are out.
    pub state: State,
    /// The time after which to ask again. An open breaker then admits probes. While all probes are out, a half-open
    /// breaker returns the time for which the latest probe has been out, at least a hundredth of
    /// [`Options::retry_after`](super::Options::retry_after) and at most all of it.
    ///
    /// `None` if the program opened the breaker with [`CircuitBreaker::open`](super::CircuitBreaker::open): it refuses
    /// until the program closes it, so it knows no time.
    pub retry_after: Option<Duration>,
}

impl From<Open> for Refusal {
    fn from(Open { name, state, retry_after }: Open) -> Self {
        let refusal = Self::new(&*name, format!("circuit breaker is {state}: {}", NextMove(retry_after)));
        match retry_after {
            Some(after) => refusal.with_retry_after(after),
            None => refusal,
        }
    }
}

/// The advice in an error text, in whole seconds, rounded up.
struct NextMove(Option<Duration>);

impl fmt::Display for NextMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(after) => {
                let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
                write!(f, "ask again in {seconds} s")
            }
            None => f.write_str("ask again later"),
        }
    }
}

use std::fmt;
use std::time::Duration;

use awaitly_core::guard::Refusal;

use super::State;
use crate::name::Name;

/// A refusal by a breaker that is open, or that is half-open and waits for its probes.
///
/// ```
/// use awaitly_resilience::{CallError, CircuitBreaker, GuardExt};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let breaker = CircuitBreaker::options("search").failures(1).build();
/// breaker.record_failure();
/// match breaker.call(async || Ok::<u32, ()>(7)).await {
///     Err(CallError::Refused(tripped)) => assert!(tripped.retry_after.is_some()),
///     other => panic!("{other:?}"),
/// }
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker `{name}` is {state}: {}", NextMove(*.retry_after))]
pub struct Tripped {
    /// The breaker.
    pub name: Name,
    /// [`State::Open`], or [`State::HalfOpen`] while all probes are out.
    pub state: State,
    /// The time after which to ask again.
    ///
    /// For an open breaker, it is the time until the breaker admits probes. `None` if the program opened the breaker
    /// with [`CircuitBreaker::open`](super::CircuitBreaker::open), because the breaker cannot predict when the program
    /// closes it.
    ///
    /// For a half-open breaker whose probes are all running, it is an estimate: the time since the latest probe began,
    /// but at least a hundredth of [`Options::retry_after`](super::Options::retry_after) and at most all of it.
    pub retry_after: Option<Duration>,
}

impl From<Tripped> for Refusal {
    fn from(Tripped { name, state, retry_after }: Tripped) -> Self {
        let mut refusal = Self::new(&*name, format!("circuit breaker is {state}: {}", NextMove(retry_after)));
        refusal.retry_after = retry_after;
        refusal
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

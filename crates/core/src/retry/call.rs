use std::future::Future;
use std::time::Duration;

use super::{Retry, Rules};
use crate::clock::{Clock, SystemClock, later};

impl<P> Retry<P> {
    /// Calls `operation` until it succeeds or the policy permits no further attempt. There is no step: no name, no events and no
    /// record.
    ///
    /// # Errors
    /// Returns the operation's own error from the last attempt.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with an enabled timer, if the policy waits before another attempt.
    ///
    /// # Cancel safety
    /// Dropping the future drops the attempt in flight; no further attempt starts.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{Retry, clock::ms};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # async fn get() -> Result<u32, std::fmt::Error> { Ok(7) }
    /// assert_eq!(Retry::exponential(ms(100)).call(get).await, Ok(7));
    /// # });
    /// ```
    pub async fn call<T, E, F, Fut>(&self, mut operation: F) -> Result<T, E>
    where
        P: Rules<E>,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (mut attempt, mut previous) = (1, Duration::ZERO);
        loop {
            let error = match operation().await {
                Ok(value) => {
                    if let Some(budget) = &self.budget {
                        budget.succeeded();
                    }
                    return Ok(value);
                }
                Err(error) => error,
            };
            let dice = &mut fastrand::Rng::new();
            let Some(delay) = self.after_failure(attempt, previous, &error, dice) else {
                return Err(error);
            };
            drop(error);
            if !delay.is_zero() {
                SystemClock.sleep_until(later(SystemClock.now(), delay)).await;
            }
            (attempt, previous) = (attempt + 1, delay);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::clock::{ms, secs};
    use crate::retry::{Budget, Jitter};

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Failed {
        transient: bool,
        wait: Option<Duration>,
    }

    async fn attempts<P: Rules<Failed>>(retry: Retry<P>, error: Failed) -> (u32, Duration) {
        let (calls, began) = (Cell::new(0), tokio::time::Instant::now());
        let ended = retry
            .call(async || {
                calls.set(calls.get() + 1);
                Err::<(), _>(error)
            })
            .await;
        assert_eq!(ended, Err(error));
        (calls.get(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn call_applies_every_rule_of_the_policy() {
        let transient = Failed { transient: true, wait: None };
        let fixed = || Retry::fixed(ms(100)).attempts(4).jitter(Jitter::None);
        assert_eq!(attempts(fixed(), transient).await, (4, ms(300)));
        let hopeless = Failed { transient: false, ..transient };
        assert_eq!(attempts(fixed().when(|e: &Failed| e.transient), hopeless).await, (1, ms(0)));
        let asked = Failed { wait: Some(secs(9)), ..transient };
        assert_eq!(attempts(fixed().retry_after(|e: &Failed| e.wait), asked).await, (4, secs(27)));
        assert_eq!(attempts(fixed().budget(&Budget::new(4, 0.1)), transient).await, (2, ms(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_failure_takes_no_token_from_the_budget() {
        let budget = Budget::new(4, 0.0);
        let hopeless = Failed { transient: false, wait: None };
        for _ in 0..100 {
            attempts(Retry::fixed(ms(1)).when(|e: &Failed| e.transient).budget(&budget), hopeless).await;
        }
        assert!(budget.has_room());
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_the_attempts() {
        let calls = Cell::new(0);
        let ended = Retry::fixed(ms(1))
            .call(async || {
                calls.set(calls.get() + 1);
                if calls.get() == 2 { Ok(7) } else { Err(()) }
            })
            .await;
        assert_eq!((ended, calls.get()), (Ok(7), 2));
    }
}

//! Policies for further attempts after a failure.
//!
//! ```
//! use awaitly_core::{Retry, clock::{ms, secs}, retry::Jitter};
//!
//! const POLICY: Retry = Retry::exponential(ms(100)).attempts(5).max_delay(secs(10)).jitter(Jitter::Equal);
//! ```
//!
//! A policy is a value: it can be a `const`, and it holds no state. Four parts determine the delay before the next attempt, in
//! this order: the [`Backoff`], the limit [`max_delay`](Retry::max_delay), the [`Jitter`], which does not exceed that limit, and
//! the server's hint ([`retry_after`](Retry::retry_after)), which replaces a shorter delay.

mod backoff;
mod budget;
mod call;
mod jitter;
mod rules;

use std::time::Duration;

pub use backoff::Backoff;
pub use budget::Budget;
pub use jitter::Jitter;
pub use rules::{Rule, Rules};

use crate::error::RunError;

/// A policy for further attempts after a failure.
///
/// A policy retries the step's own errors and timeouts of an attempt. It never retries a cancellation, a wait, a failure of the
/// store, a panic or a duplicate key. A refusal by a guard is not an attempt: the step waits, and asks the guard again
/// (see [`refused_for`](Self::refused_for)). A durable run counts attempts across executions.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`attempts`](Self::attempts) | 3 |
/// | [`max_delay`](Self::max_delay) | 30 seconds |
/// | [`jitter`](Self::jitter) | [`Jitter::Full`] |
/// | [`when`](Self::when) | every error of the step |
/// | [`retry_after`](Self::retry_after) | no hint |
/// | [`refused_for`](Self::refused_for) | one minute |
/// | [`budget`](Self::budget) | none |
///
/// # Examples
/// ```
/// use awaitly_core::{Retry, clock::ms};
///
/// # #[derive(Debug)]
/// enum PaymentError { Declined, Unreachable }
///
/// let retry = Retry::exponential(ms(100))
///     .attempts(4)
///     .when(|error: &PaymentError| matches!(error, PaymentError::Unreachable));
/// ```
#[derive(Debug, Clone)]
#[must_use = "a policy has no effect until a step uses it: pass it to `retry`"]
pub struct Retry<P = ()> {
    backoff: Backoff,
    attempts: u32,
    max_delay: Duration,
    jitter: Jitter,
    /// If `true`, another attempt follows an attempt that timed out.
    retries_timeouts: bool,
    refused_for: Duration,
    budget: Option<Budget>,
    rules: P,
}

impl Retry {
    /// The default number of attempts.
    pub const DEFAULT_ATTEMPTS: u32 = 3;
    /// The default limit of a delay.
    pub const DEFAULT_MAX_DELAY: Duration = Duration::from_secs(30);

    /// The default time for which guards may refuse a volatile step without a deadline.
    pub const DEFAULT_REFUSED_FOR: Duration = Duration::from_secs(60);

    /// Creates a policy with this backoff.
    ///
    /// ```
    /// use awaitly_core::{Retry, clock::{ms, secs}, retry::Backoff};
    ///
    /// // Delays of a list, and then no further attempt.
    /// let delays = [ms(10), ms(500), secs(5)];
    /// let retry = Retry::new(Backoff::from_fn(move |attempt| delays.get(attempt as usize - 1).copied())).attempts(9);
    /// # let _ = retry;
    /// ```
    pub const fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            attempts: Self::DEFAULT_ATTEMPTS,
            max_delay: Self::DEFAULT_MAX_DELAY,
            jitter: Jitter::Full,
            retries_timeouts: true,
            refused_for: Self::DEFAULT_REFUSED_FOR,
            budget: None,
            rules: (),
        }
    }

    /// Creates a policy with a constant delay before each further attempt: [`Backoff::fixed`].
    ///
    /// The default jitter, [`Jitter::Full`], replaces the delay by a random time from zero to `delay`. Set
    /// [`Jitter::None`] to wait for exactly `delay`.
    ///
    /// ```
    /// use awaitly_core::{Retry, clock::secs, retry::Jitter};
    ///
    /// let retry = Retry::fixed(secs(2)).attempts(5).jitter(Jitter::None);
    /// # let _ = retry;
    /// ```
    pub const fn fixed(delay: Duration) -> Self {
        Self::new(Backoff::fixed(delay))
    }

    /// Creates a policy with delays of `base`, twice `base`, three times `base`: [`Backoff::linear`].
    pub const fn linear(base: Duration) -> Self {
        Self::new(Backoff::linear(base))
    }

    /// Creates a policy with delays that start with `base` and double each time: [`Backoff::exponential`].
    pub const fn exponential(base: Duration) -> Self {
        Self::new(Backoff::exponential(base))
    }

    /// Creates a policy with delays of `base` times 1, 1, 2, 3, 5: [`Backoff::fibonacci`].
    pub const fn fibonacci(base: Duration) -> Self {
        Self::new(Backoff::fibonacci(base))
    }

    /// Creates a policy with random delays, each between `base` and three times its predecessor: [`Backoff::decorrelated`]. The
    /// jitter is [`Jitter::None`], because the delays are already random.
    pub const fn decorrelated(base: Duration) -> Self {
        Self::new(Backoff::decorrelated(base)).jitter(Jitter::None)
    }
}

impl<P> Retry<P> {
    /// Sets the maximum number of attempts, including the first one.
    ///
    /// # Panics
    /// Panics if `attempts` is 0; in a `const`, this is a compile error. Check a number from a configuration with
    /// [`NonZeroU32`](std::num::NonZeroU32) first.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "a step needs at least one attempt: `attempts(0)` is invalid");
        self.attempts = attempts;
        self
    }

    /// Limits the delay. A server's hint may exceed the limit.
    ///
    /// ```
    /// use awaitly_core::{Retry, clock::{ms, secs}};
    ///
    /// const PATIENT: Retry = Retry::exponential(ms(100)).attempts(20).max_delay(secs(10));
    /// # let _ = PATIENT;
    /// ```
    pub const fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// Sets the random spread of delays, so that many callers do not return at one moment.
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Fails the step if an attempt times out, instead of making another attempt.
    ///
    /// ```
    /// use awaitly_core::{Retry, clock::ms};
    ///
    /// // A payment that timed out may have been made.
    /// let pay = Retry::exponential(ms(100)).give_up_on_timeout();
    /// # let _ = pay;
    /// ```
    pub const fn give_up_on_timeout(mut self) -> Self {
        self.retries_timeouts = false;
        self
    }

    /// Sets how long a guard may refuse a volatile step before the step fails with the refusal. A refusal is not an
    /// attempt: the step waits, and then asks the guard again. The wait lasts for the next delay of this policy, but
    /// for no less than the time that the guard names, and no less than a millisecond.
    ///
    /// This limit applies only to a volatile step without a deadline. If the step or its run has a deadline, the step
    /// asks until the deadline. A durable step without a deadline asks without a limit; if a wait exceeds the
    /// workflow's [`park_after`](crate::Workflow::park_after), the run is parked and holds no task.
    ///
    /// # Default
    /// One minute.
    ///
    /// ```
    /// use awaitly_core::{Retry, clock::{ms, secs}};
    ///
    /// let patient = Retry::exponential(ms(100)).refused_for(secs(300));
    /// ```
    pub const fn refused_for(mut self, longest: Duration) -> Self {
        self.refused_for = longest;
        self
    }

    /// Sets a budget for retries, shared with every policy that holds a clone of it.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Retries only errors for which `predicate` returns `true`. The policy calls it once for each failed attempt except the
    /// last. If `when` is called twice, both predicates must hold.
    pub fn when<E, F: Fn(&E) -> bool>(self, predicate: F) -> Retry<Rule<P, F, E, bool>> {
        self.map_rules(|rules| Rule::new(rules, predicate))
    }

    /// Reads the server's hint from an error: the time to wait before another attempt. The delay is at least that long, even
    /// beyond [`max_delay`](Self::max_delay), and jitter does not shorten it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_core::{Retry, clock::ms};
    ///
    /// # #[derive(Debug)]
    /// struct TooManyRequests { retry_after: Option<Duration> }
    ///
    /// let retry = Retry::exponential(ms(100)).retry_after(|error: &TooManyRequests| error.retry_after);
    /// # let _ = retry;
    /// ```
    pub fn retry_after<E, F: Fn(&E) -> Option<Duration>>(
        self,
        hint: F,
    ) -> Retry<Rule<P, F, E, Option<Duration>>> {
        self.map_rules(|rules| Rule::new(rules, hint))
    }

    fn map_rules<Q>(self, change: impl FnOnce(P) -> Q) -> Retry<Q> {
        let Self { backoff, attempts, max_delay, jitter, retries_timeouts, refused_for, budget, rules } =
            self;
        Retry {
            backoff,
            attempts,
            max_delay,
            jitter,
            retries_timeouts,
            refused_for,
            budget,
            rules: change(rules),
        }
    }

    /// Returns the maximum number of attempts.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the delay after an operation's own error in `attempt`, or `None` if no attempt follows. `previous` is the delay
    /// before that attempt.
    pub(crate) fn after_failure<E>(
        &self,
        attempt: u32,
        previous: Duration,
        error: &E,
        dice: &mut fastrand::Rng,
    ) -> Option<Duration>
    where
        P: Rules<E>,
    {
        if attempt >= self.attempts {
            self.charge_last(attempt);
            return None;
        }
        if !self.rules.retries(error) || !self.charge() {
            return None;
        }
        self.delay(attempt, previous, self.rules.hint(error), dice)
    }

    /// Returns the delay after a failure that the library caused, or `None` if no attempt follows.
    pub(crate) fn after_run_error(
        &self,
        attempt: u32,
        previous: Duration,
        error: &RunError,
        dice: &mut fastrand::Rng,
    ) -> Option<Duration> {
        match error {
            // The attempt did not reach the service, so it does not count against the budget.
            RunError::Refused { retry_after, .. } => self.delay(attempt, previous, *retry_after, dice),
            error if !self.retries_run_error(error) => None,
            _ if attempt >= self.attempts => {
                self.charge_last(attempt);
                None
            }
            _ if self.charge() => self.delay(attempt, previous, None, dice),
            _ => None,
        }
    }

    /// Returns the wait before the step asks a guard again that has refused `refusals` times, and the limit for all refusals.
    pub(crate) fn after_refusal(
        &self,
        refusals: u32,
        previous: Duration,
        retry_after: Option<Duration>,
        dice: &mut fastrand::Rng,
    ) -> Option<(Duration, Duration)> {
        // The end of a backoff limits attempts, and a refusal is not an attempt.
        let delay = self.spread(refusals, previous, dice).unwrap_or(previous);
        Some((retry_after.map_or(delay, |after| after.max(delay)).max(LEAST_WAIT), self.refused_for))
    }

    /// Charges the budget for a failure that would be retried, and returns `true` if the budget permits the retry.
    fn charge(&self) -> bool {
        self.budget.as_ref().is_none_or(Budget::failed)
    }

    /// Charges the budget for the failure of the last attempt. The rules do not see that failure; if it follows a retry, it
    /// counts as one that would be retried.
    fn charge_last(&self, attempt: u32) {
        if attempt > 1 {
            self.charge();
        }
    }

    pub(crate) const fn shared_budget(&self) -> Option<&Budget> {
        self.budget.as_ref()
    }

    /// Returns `true` if the policy retries a failure that the library caused.
    const fn retries_run_error(&self, error: &RunError) -> bool {
        match error {
            RunError::Timeout { .. } => error.is_retried() && self.retries_timeouts,
            _ => error.is_retried(),
        }
    }

    /// Returns the delay after the failed `attempt`, or `None` if no attempt follows. Pure except for the dice.
    fn delay(
        &self,
        attempt: u32,
        previous: Duration,
        hint: Option<Duration>,
        dice: &mut fastrand::Rng,
    ) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let delay = self.spread(attempt, previous, dice)?;
        Some(hint.map_or(delay, |hint| hint.max(delay)))
    }

    /// Returns the delay of the backoff, limited and with jitter.
    fn spread(&self, attempt: u32, previous: Duration, dice: &mut fastrand::Rng) -> Option<Duration> {
        let delay = self.backoff.delay(attempt, previous, dice)?.min(self.max_delay);
        Some(self.jitter.spread(delay, dice).min(self.max_delay))
    }
}

/// The shortest time between two requests to a guard, so that a policy without a delay does not keep the task busy.
const LEAST_WAIT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{ms, secs};

    fn delays<P>(retry: &Retry<P>, seed: u64) -> Vec<Duration> {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut previous = Duration::ZERO;
        (1..)
            .map_while(|attempt| {
                previous = retry.delay(attempt, previous, None, &mut dice)?;
                Some(previous)
            })
            .collect()
    }

    #[test]
    fn attempts_include_the_first_one() {
        assert_eq!(delays(&Retry::fixed(ms(5)).attempts(1), 0), []);
        assert_eq!(delays(&Retry::fixed(ms(5)).jitter(Jitter::None), 0), [ms(5), ms(5)]);
    }

    #[test]
    fn limit_applies_before_jitter() {
        let retry = Retry::exponential(secs(1)).attempts(5).max_delay(secs(3)).jitter(Jitter::None);
        assert_eq!(delays(&retry, 0), [secs(1), secs(2), secs(3), secs(3)]);
    }

    #[test]
    fn longer_hint_exceeds_the_limit() {
        let retry = Retry::fixed(ms(100)).max_delay(secs(1)).jitter(Jitter::None);
        let mut dice = fastrand::Rng::with_seed(0);
        assert_eq!(retry.delay(1, Duration::ZERO, Some(secs(9)), &mut dice), Some(secs(9)));
        assert_eq!(retry.delay(1, Duration::ZERO, Some(ms(1)), &mut dice), Some(ms(100)));
    }

    #[test]
    #[should_panic(expected = "at least one attempt")]
    fn zero_attempts_panics() {
        let _ = Retry::fixed(ms(1)).attempts(0);
    }

    proptest! {
        #[test]
        fn delays_respect_limit_and_depend_only_on_seed(
            kind in 0..5_usize, jitter in 0..5_usize, base in 0..10_000_u64, limit in 0..20_000_u64, seed: u64
        ) {
            let base = ms(base);
            let backoff = [Backoff::fixed(base), Backoff::linear(base), Backoff::exponential(base),
                Backoff::fibonacci(base), Backoff::decorrelated(base)][kind].clone();
            let jitter = [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Proportional(0.5),
                Jitter::Additive(secs(2))][jitter];
            let retry = Retry::new(backoff).attempts(40).max_delay(ms(limit)).jitter(jitter);
            let first = delays(&retry, seed);
            prop_assert_eq!(first.len(), 39);
            prop_assert!(first.iter().all(|delay| *delay <= ms(limit)));
            prop_assert_eq!(first, delays(&retry, seed));
        }
    }
}

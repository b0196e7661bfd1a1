//! When a failed attempt is followed by another, and when.
//!
//! ```
//! use awaitly_core::{Retry, clock::{ms, secs}, retry::Jitter};
//!
//! const POLICY: Retry = Retry::exponential(ms(100)).attempts(5).max_delay(secs(10)).jitter(Jitter::Equal);
//! ```
//!
//! A policy is a value: it can be a `const`, is cheap to copy around, and holds no state. The delay
//! before the next attempt is made of, in this order: the [`Backoff`], the limit
//! [`max_delay`](Retry::max_delay), the [`Jitter`], which never goes beyond that limit, and the hint of a
//! server ([`retry_after`](Retry::retry_after)), which is taken where it is longer.

mod backoff;
mod budget;
mod call;
mod jitter;
mod rules;

use std::time::Duration;

pub use backoff::{Backoff, Delays};
pub use budget::Budget;
pub use jitter::Jitter;
pub use rules::{Always, RetryAfter, Rules, When};

use crate::error::RunError;

/// A policy for what follows a failed attempt.
///
/// The step's own error and timeouts of an attempt are retried. Cancellation, waiting, failures of the store, panics,
/// and duplicate keys never are. A refusal by a guard is no attempt: the step waits and asks the guard again, see
/// [`refused_for`](Self::refused_for). On a durable run, attempts are counted across executions.
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
#[must_use = "a policy does nothing by itself: give it to a step with `retry`"]
pub struct Retry<P = Always> {
    backoff: Backoff,
    attempts: u32,
    max_delay: Duration,
    jitter: Jitter,
    timeouts: OnTimeout,
    refused_for: Duration,
    budget: Option<Budget>,
    rules: P,
}

/// What follows an attempt that timed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnTimeout {
    /// Another attempt, as after a failure.
    #[default]
    Retry,
    /// Nothing: the step fails with the timeout.
    GiveUp,
}

impl Retry {
    /// How many attempts are made unless the policy says otherwise.
    pub const DEFAULT_ATTEMPTS: u32 = 3;
    /// The longest delay unless the policy says otherwise.
    pub const DEFAULT_MAX_DELAY: Duration = Duration::from_secs(30);

    /// How long a volatile step without a deadline lets guards refuse it, unless the policy says otherwise.
    pub const DEFAULT_REFUSED_FOR: Duration = Duration::from_secs(60);

    /// A policy with that backoff.
    pub const fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            attempts: Self::DEFAULT_ATTEMPTS,
            max_delay: Self::DEFAULT_MAX_DELAY,
            jitter: Jitter::Full,
            timeouts: OnTimeout::Retry,
            refused_for: Self::DEFAULT_REFUSED_FOR,
            budget: None,
            rules: Always,
        }
    }

    /// The same delay each time: [`Backoff::fixed`].
    pub const fn fixed(delay: Duration) -> Self {
        Self::new(Backoff::fixed(delay))
    }

    /// `base`, twice `base`, three times `base`: [`Backoff::linear`].
    pub const fn linear(base: Duration) -> Self {
        Self::new(Backoff::linear(base))
    }

    /// `base`, doubled each time: [`Backoff::exponential`].
    pub const fn exponential(base: Duration) -> Self {
        Self::new(Backoff::exponential(base))
    }

    /// `base` times 1, 1, 2, 3, 5: [`Backoff::fibonacci`].
    pub const fn fibonacci(base: Duration) -> Self {
        Self::new(Backoff::fibonacci(base))
    }

    /// A random delay between `base` and three times the one before: [`Backoff::decorrelated`]. It is
    /// random already, so it begins with [`Jitter::None`].
    pub const fn decorrelated(base: Duration) -> Self {
        Self::new(Backoff::decorrelated(base)).jitter(Jitter::None)
    }
}

impl<P> Retry<P> {
    /// How many attempts are made at most, the first included.
    ///
    /// # Panics
    /// Where `attempts` is 0; in a `const`, that is a compile error. Check a number that comes from a
    /// configuration with [`NonZeroU32`](std::num::NonZeroU32) first.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "a step has at least one attempt: `attempts(0)` is refused");
        self.attempts = attempts;
        self
    }

    /// The longest delay. A hint of a server may be longer.
    pub const fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// How the delay is spread, so that many callers do not come back at the same moment.
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// What follows an attempt that timed out.
    pub const fn on_timeout(mut self, timeouts: OnTimeout) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets how long a guard may refuse a step before the refusal is the step's failure. A refusal is not an attempt:
    /// the step waits for the time that the guard names, or else for the next delay of this policy, at least a
    /// millisecond, and asks again.
    ///
    /// A deadline of the step or its run decides instead of this, and so does a durable run, which asks for as long as
    /// it takes: if the wait is longer than the workflow's [`park_after`](crate::Workflow::park_after), the run holds no
    /// task meanwhile.
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

    /// A budget for retries, shared by everything that holds a clone of it.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Only an error for which `predicate` holds is followed by another attempt. It is asked once for
    /// each failed attempt but the last. Called twice, both predicates must hold.
    pub fn when<E, F: Fn(&E) -> bool>(self, predicate: F) -> Retry<When<P, F, E>> {
        self.map_rules(|rules| When::new(rules, predicate))
    }

    /// How long the server asked to wait, as its error says. The delay is at least that long, also
    /// beyond [`max_delay`](Self::max_delay), and is not jittered below it.
    pub fn retry_after<E, F: Fn(&E) -> Option<Duration>>(self, hint: F) -> Retry<RetryAfter<P, F, E>> {
        self.map_rules(|rules| RetryAfter::new(rules, hint))
    }

    fn map_rules<Q>(self, change: impl FnOnce(P) -> Q) -> Retry<Q> {
        let Self { backoff, attempts, max_delay, jitter, timeouts, refused_for, budget, rules } = self;
        Retry { backoff, attempts, max_delay, jitter, timeouts, refused_for, budget, rules: change(rules) }
    }

    /// How many attempts are made at most.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.attempts
    }

    /// The delay after an operation's own error in `attempt`, given the one before. `None`: no other attempt.
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

    /// The same after a failure that the library itself brought about.
    pub(crate) fn after_run_error(
        &self,
        attempt: u32,
        previous: Duration,
        error: &RunError,
        dice: &mut fastrand::Rng,
    ) -> Option<Duration> {
        match error {
            // It did not reach the service, so it says nothing of how that is.
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

    /// Returns when a guard is asked again that refused an attempt for the `refusals`th time, and how long it may refuse
    /// in all.
    pub(crate) fn after_refusal(
        &self,
        refusals: u32,
        previous: Duration,
        retry_after: Option<Duration>,
        dice: &mut fastrand::Rng,
    ) -> Option<(Duration, Duration)> {
        // A backoff that ends counts attempts, and this was none.
        let delay = self.spread(refusals, previous, dice).unwrap_or(previous);
        Some((retry_after.map_or(delay, |after| after.max(delay)).max(LEAST_WAIT), self.refused_for))
    }

    /// Charges the budget for a failure that would be retried, and says whether it may be.
    fn charge(&self) -> bool {
        self.budget.as_ref().is_none_or(Budget::failed)
    }

    /// Charges the budget for the failure of the last attempt. Nobody is asked whether it would be retried; where
    /// others were before it, it is taken for one that would.
    fn charge_last(&self, attempt: u32) {
        if attempt > 1 {
            self.charge();
        }
    }

    pub(crate) const fn shared_budget(&self) -> Option<&Budget> {
        self.budget.as_ref()
    }

    /// Whether the policy has another attempt for a failure that the library itself brought about.
    const fn retries_run_error(&self, error: &RunError) -> bool {
        match error {
            RunError::Timeout { .. } => error.is_retried() && matches!(self.timeouts, OnTimeout::Retry),
            _ => error.is_retried(),
        }
    }

    /// The delay after the failed `attempt`, given the one before. `None`: no other attempt.
    ///
    /// Pure but for the dice.
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

    /// The delay of the backoff, within its limit and with its jitter.
    fn spread(&self, attempt: u32, previous: Duration, dice: &mut fastrand::Rng) -> Option<Duration> {
        let delay = self.backoff.delay(attempt, previous, dice)?.min(self.max_delay);
        Some(self.jitter.spread(delay, dice).min(self.max_delay))
    }
}

/// The least time between two questions to a guard, so that a policy without a delay does not keep the task busy.
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
    fn attempts_count_the_first_one() {
        assert_eq!(delays(&Retry::fixed(ms(5)).attempts(1), 0), []);
        assert_eq!(delays(&Retry::fixed(ms(5)).jitter(Jitter::None), 0), [ms(5), ms(5)]);
    }

    #[test]
    fn the_limit_comes_before_the_jitter() {
        let retry = Retry::exponential(secs(1)).attempts(5).max_delay(secs(3)).jitter(Jitter::None);
        assert_eq!(delays(&retry, 0), [secs(1), secs(2), secs(3), secs(3)]);
    }

    #[test]
    fn a_longer_hint_wins_also_beyond_the_limit() {
        let retry = Retry::fixed(ms(100)).max_delay(secs(1)).jitter(Jitter::None);
        let mut dice = fastrand::Rng::with_seed(0);
        assert_eq!(retry.delay(1, Duration::ZERO, Some(secs(9)), &mut dice), Some(secs(9)));
        assert_eq!(retry.delay(1, Duration::ZERO, Some(ms(1)), &mut dice), Some(ms(100)));
    }

    #[test]
    #[should_panic(expected = "at least one attempt")]
    fn no_attempt_at_all_is_refused() {
        let _ = Retry::fixed(ms(1)).attempts(0);
    }

    proptest! {
        #[test]
        fn no_delay_exceeds_the_limit_and_a_seed_fixes_them_all(
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

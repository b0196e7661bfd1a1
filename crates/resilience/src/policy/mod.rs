//! Options of a step under one name: retry, timeout, deadline, guards.
//!
//! ```
//! use std::time::Duration;
//! use awaitly_core::{RunError, run, step};
//! use awaitly_resilience::{CircuitBreaker, policy};
//!
//! # #[derive(Debug, thiserror::Error)]
//! # enum ApiError { #[error("unreachable")] Unreachable, #[error(transparent)] Run(#[from] RunError) }
//! # async fn search(_: &str) -> Result<u32, ApiError> { Ok(7) }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let breaker = CircuitBreaker::new("search");
//! let searching = policy::HTTP_API
//!     .merge(&policy::Policy::new().attempts(5))
//!     .when(|error: &ApiError| matches!(error, ApiError::Unreachable))
//!     .guard(&breaker);
//!
//! let found = run(async |run| {
//!     let tea = step!(run, policy = searching.clone(), search("tea"));
//!     let mug = step!(run, policy = searching.clone(), timeout = Duration::from_secs(1), search("mug"));
//!     Ok::<_, ApiError>(tea + mug)
//! })
//! .await;
//! # assert_eq!(found.unwrap(), 14);
//! # });
//! ```
//!
//! A [`Policy`] is a value of numbers, and constants such as [`HTTP_API`] hold the numbers that many programs need. Merge
//! policies field by field, keep them in a [`Registry`] by name, or read them from a configuration. The parts that depend
//! on the program's types, a predicate over its error and guards, come last and make an [`Extended`] policy.

mod apply;
mod config;
mod presets;
mod registry;

use std::num::NonZeroU32;
use std::time::Duration;

use awaitly_core::Retry;
use awaitly_core::retry::{Backoff, Budget, Jitter, Rule};
use serde::Deserialize;

pub use apply::Extended;
pub use config::{ConfigError, read, read_all};
pub use presets::*;
pub use registry::Registry;

/// The growth of the delay between two attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// A constant delay.
    Fixed,
    /// Once, twice, three times the first delay.
    Linear,
    /// Twice the previous delay.
    #[default]
    Exponential,
    /// The first delay times 1, 1, 2, 3, 5.
    Fibonacci,
}

/// The retry, timeout and deadline of a step.
///
/// The retry consists of the first five fields. A policy always replaces the retry that the step had before: if the
/// policy sets none of these five fields, the step makes one attempt. If the policy sets no timeout or no deadline, the
/// step keeps its own.
///
/// # Default
/// No field is set: the step makes one attempt, and the policy adds no time limit. If a field of the retry is set, the
/// other fields of the retry have these defaults:
///
/// | field | default |
/// | --- | --- |
/// | [`attempts`](Self::attempts) | 3 |
/// | [`growth`](Self::growth) | [`Growth::Exponential`] |
/// | [`delay`](Self::delay) | 100 milliseconds |
/// | [`max_delay`](Self::max_delay) | 30 seconds |
/// | [`jitter`](Self::jitter) | [`Jitter::Full`] |
///
/// A field that is `None` is not set; [`to_retry`](Self::to_retry) fills in the defaults:
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::policy::{self, Growth, Policy};
///
/// let search = policy::HTTP_API.merge(&Policy::new().attempts(5));
/// assert_eq!(search.growth, Some(Growth::Exponential));
/// assert_eq!(search.timeout, Some(Duration::from_secs(5)));
/// assert_eq!(search.deadline, None);
/// assert_eq!(search.to_retry().max_attempts(), 5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// The maximum number of attempts, including the first one.
    pub attempts: Option<NonZeroU32>,
    /// The growth of the delay.
    pub growth: Option<Growth>,
    /// The first delay.
    pub delay: Option<Duration>,
    /// The longest delay.
    pub max_delay: Option<Duration>,
    /// The random spread of the delay.
    pub jitter: Option<Jitter>,
    /// The time limit of an attempt.
    pub timeout: Option<Duration>,
    /// The time limit of the whole step.
    pub deadline: Option<Duration>,
}

impl Policy {
    /// Creates a policy that sets no field.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            attempts: None,
            growth: None,
            delay: None,
            max_delay: None,
            jitter: None,
            timeout: None,
            deadline: None,
        }
    }

    /// Sets the maximum number of attempts, including the first one.
    ///
    /// # Panics
    /// Panics if `attempts` is 0; in a `const`, this is a compile error.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = NonZeroU32::new(attempts);
        assert!(self.attempts.is_some(), "a step has at least one attempt: `attempts(0)` is refused");
        self
    }

    /// Sets the growth of the delay from one attempt to the next.
    ///
    /// # Default
    /// [`Growth::Exponential`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::policy::{Growth, Policy};
    ///
    /// const SLOW: Policy = Policy::new().growth(Growth::Fibonacci).delay(Duration::from_secs(1));
    /// # let _ = SLOW;
    /// ```
    #[must_use]
    pub const fn growth(mut self, growth: Growth) -> Self {
        self.growth = Some(growth);
        self
    }

    /// Sets the first delay.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sets the longest delay, including its jitter.
    ///
    /// # Default
    /// 30 seconds.
    #[must_use]
    pub const fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = Some(max_delay);
        self
    }

    /// Sets the random spread of the delay.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = Some(jitter);
        self
    }

    /// Sets the time limit of an attempt.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the time limit of the whole step.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::policy;
    ///
    /// let search = policy::HTTP_API.deadline(Duration::from_secs(30));
    /// assert_eq!(search.deadline, Some(Duration::from_secs(30)));
    /// ```
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Returns this policy with the fields that `over` sets; the other fields keep their value.
    ///
    /// ```
    /// use awaitly_resilience::policy::{self, Policy};
    ///
    /// const SEARCH: Policy = policy::HTTP_API.merge(&policy::WITHIN_FAST);
    /// assert_eq!(SEARCH.attempts, policy::STANDARD.attempts);
    /// assert_eq!(SEARCH.timeout, policy::WITHIN_FAST.timeout);
    /// ```
    #[must_use]
    pub const fn merge(self, over: &Self) -> Self {
        Self {
            attempts: either(over.attempts, self.attempts),
            growth: either(over.growth, self.growth),
            delay: either(over.delay, self.delay),
            max_delay: either(over.max_delay, self.max_delay),
            jitter: either(over.jitter, self.jitter),
            timeout: either(over.timeout, self.timeout),
            deadline: either(over.deadline, self.deadline),
        }
    }

    /// Returns whether no field is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::new()
    }

    /// Returns the complete retry: one attempt if no field of the retry is set.
    ///
    /// ```
    /// use awaitly_resilience::policy::{self, Policy};
    ///
    /// assert_eq!(Policy::new().to_retry().max_attempts(), 1);
    /// assert_eq!(policy::STANDARD.to_retry().max_attempts(), 3);
    /// ```
    pub fn to_retry(&self) -> Retry {
        const DEFAULT_DELAY: Duration = Duration::from_millis(100);
        let Self { attempts, growth, delay, max_delay, jitter, .. } = *self;
        let is_set = attempts.is_some()
            || growth.is_some()
            || delay.is_some()
            || max_delay.is_some()
            || jitter.is_some();
        let delay = delay.unwrap_or(DEFAULT_DELAY);
        let backoff = match growth.unwrap_or_default() {
            Growth::Fixed => Backoff::fixed(delay),
            Growth::Linear => Backoff::linear(delay),
            Growth::Exponential => Backoff::exponential(delay),
            Growth::Fibonacci => Backoff::fibonacci(delay),
        };
        let default = if is_set { Retry::<()>::DEFAULT_ATTEMPTS } else { 1 };
        Retry::new(backoff)
            .attempts(attempts.map_or(default, NonZeroU32::get))
            .max_delay(max_delay.unwrap_or(Retry::<()>::DEFAULT_MAX_DELAY))
            .jitter(jitter.unwrap_or_default())
    }

    fn extended(self) -> Extended {
        Extended { retry: self.to_retry(), timeout: self.timeout, deadline: self.deadline, guard: () }
    }

    /// Retries only the errors for which `predicate` returns `true`: [`Retry::when`].
    ///
    /// ```
    /// use awaitly_resilience::policy;
    /// # struct ApiError { status: u16 }
    ///
    /// let search = policy::HTTP_API.when(|error: &ApiError| error.status >= 500);
    /// ```
    pub fn when<E, F: Fn(&E) -> bool>(self, predicate: F) -> Extended<Rule<(), F, E, bool>> {
        self.extended().when(predicate)
    }

    /// Waits at least for the duration that `hint` reads from the error, for example from a `Retry-After` header:
    /// [`Retry::retry_after`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::policy;
    /// # struct ApiError { wait: Option<Duration> }
    ///
    /// let search = policy::RATE_LIMITED.retry_after(|error: &ApiError| error.wait);
    /// ```
    pub fn retry_after<E, F: Fn(&E) -> Option<Duration>>(
        self,
        hint: F,
    ) -> Extended<Rule<(), F, E, Option<Duration>>> {
        self.extended().retry_after(hint)
    }

    /// Fails the step if an attempt times out: see [`Retry::give_up_on_timeout`].
    pub fn give_up_on_timeout(self) -> Extended {
        self.extended().give_up_on_timeout()
    }

    /// Sets a budget for retries, which all policies with a clone of it share: [`Retry::budget`].
    ///
    /// ```
    /// use awaitly_core::retry::Budget;
    /// use awaitly_resilience::policy;
    ///
    /// let budget = Budget::new(10, 0.1);
    /// let (search, stock) = (policy::HTTP_API.budget(&budget), policy::DATABASE.budget(&budget));
    /// ```
    pub fn budget(self, budget: &Budget) -> Extended {
        self.extended().budget(budget)
    }

    /// Makes every attempt pass through `guard`.
    ///
    /// ```
    /// use awaitly_core::{RunError, run, step};
    /// use awaitly_resilience::{CircuitBreaker, policy};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # async fn search() -> Result<u32, RunError> { Ok(7) }
    /// let breaker = CircuitBreaker::new("search");
    /// let found = run(async |run| Ok::<_, RunError>(step!(run, policy = policy::HTTP_API.guard(&breaker), search())));
    /// assert_eq!(found.await, Ok(7));
    /// # });
    /// ```
    pub fn guard<G>(self, guard: G) -> Extended<(), ((), G)> {
        self.extended().guard(guard)
    }
}

/// Returns `one.or(other)` in a `const fn`.
const fn either<T: Copy>(one: Option<T>, other: Option<T>) -> Option<T> {
    if one.is_some() { one } else { other }
}

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
//! let searching = policy::http_api()
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
//! A [`Policy`] is a value of numbers: merge it field by field, keep it in a [`Registry`] by name, or read it from a
//! configuration. The parts that depend on the program's types, a predicate over its error and guards, come last and
//! turn it into a [`PolicyWith`].

mod apply;
mod config;
mod presets;
mod registry;

use std::num::NonZeroU32;
use std::time::Duration;

use awaitly_core::Retry;
use awaitly_core::retry::{Always, Backoff, Budget, Jitter, OnTimeout};
use serde::Deserialize;

pub use apply::PolicyWith;
pub use config::{ConfigError, read, read_all};
pub use presets::*;
pub use registry::{Registry, UnknownPolicy};

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
/// The policy decides how often the step calls the operation: once, if the policy sets no field of the retry. If the
/// policy sets no timeout or deadline, the step keeps its own.
///
/// # Default
/// No field is set: the step makes one call, without a limit. If one field of the retry is set, the others have these
/// defaults:
///
/// | field | default |
/// | --- | --- |
/// | [`attempts`](Self::attempts) | 3 |
/// | [`growth`](Self::growth) | [`Growth::Exponential`] |
/// | [`delay`](Self::delay) | 100 milliseconds |
/// | [`max_delay`](Self::max_delay) | 30 seconds |
/// | [`jitter`](Self::jitter) | [`Jitter::Full`] |
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Policy {
    attempts: Option<NonZeroU32>,
    growth: Option<Growth>,
    delay: Option<Duration>,
    max_delay: Option<Duration>,
    jitter: Option<Jitter>,
    timeout: Option<Duration>,
    deadline: Option<Duration>,
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

    /// Sets the growth of the delay.
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

    /// Sets the longest delay.
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
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Returns the maximum number of attempts, including the first one, if it is set. Like every getter, it
    /// distinguishes an unset field from a field that is set to its default; [`to_retry`](Self::to_retry) fills in the
    /// defaults.
    ///
    /// ```
    /// use std::time::Duration;
    /// use awaitly_resilience::policy::{self, Growth, Policy};
    ///
    /// let search = policy::http_api().merge(&Policy::new().attempts(5));
    /// assert_eq!(search.get_attempts(), Some(5));
    /// assert_eq!(search.get_growth(), Some(Growth::Exponential));
    /// assert_eq!(search.get_timeout(), Some(Duration::from_secs(5)));
    /// assert_eq!(search.get_deadline(), None);
    /// ```
    #[must_use]
    pub const fn get_attempts(&self) -> Option<u32> {
        match self.attempts {
            Some(attempts) => Some(attempts.get()),
            None => None,
        }
    }

    /// Returns the growth of the delay, if it is set.
    #[must_use]
    pub const fn get_growth(&self) -> Option<Growth> {
        self.growth
    }

    /// Returns the first delay, if it is set.
    #[must_use]
    pub const fn get_delay(&self) -> Option<Duration> {
        self.delay
    }

    /// Returns the longest delay, if it is set.
    #[must_use]
    pub const fn get_max_delay(&self) -> Option<Duration> {
        self.max_delay
    }

    /// Returns the random spread of the delay, if it is set.
    #[must_use]
    pub const fn get_jitter(&self) -> Option<Jitter> {
        self.jitter
    }

    /// Returns the time limit of an attempt, if it is set.
    #[must_use]
    pub const fn get_timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Returns the time limit of the whole step, if it is set.
    #[must_use]
    pub const fn get_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns this policy with the fields that `over` sets; the other fields keep their value.
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
        let default = if is_set { Retry::<Always>::DEFAULT_ATTEMPTS } else { 1 };
        Retry::new(backoff)
            .attempts(attempts.map_or(default, NonZeroU32::get))
            .max_delay(max_delay.unwrap_or(Retry::<Always>::DEFAULT_MAX_DELAY))
            .jitter(jitter.unwrap_or_default())
    }

    fn with(self) -> PolicyWith<Always, ()> {
        PolicyWith { retry: self.to_retry(), timeout: self.timeout, deadline: self.deadline, guard: () }
    }

    /// Retries only the errors for which `predicate` returns `true`: [`Retry::when`].
    pub fn when<E, F: Fn(&E) -> bool>(
        self,
        predicate: F,
    ) -> PolicyWith<awaitly_core::retry::When<Always, F, E>, ()> {
        self.with().when(predicate)
    }

    /// Waits as long as the server asks: [`Retry::retry_after`].
    pub fn retry_after<E, F: Fn(&E) -> Option<Duration>>(
        self,
        hint: F,
    ) -> PolicyWith<awaitly_core::retry::RetryAfter<Always, F, E>, ()> {
        self.with().retry_after(hint)
    }

    /// Sets the reaction to an attempt that timed out: [`Retry::on_timeout`].
    pub fn on_timeout(self, timeouts: OnTimeout) -> PolicyWith<Always, ()> {
        self.with().on_timeout(timeouts)
    }

    /// Shares a budget for retries: [`Retry::budget`].
    pub fn budget(self, budget: &Budget) -> PolicyWith<Always, ()> {
        self.with().budget(budget)
    }

    /// Makes every attempt pass through `guard`.
    pub fn guard<G>(self, guard: G) -> PolicyWith<Always, awaitly_core::guard::Both<(), G>> {
        self.with().guard(guard)
    }
}

/// Returns `one.or(other)` in a `const fn`.
const fn either<T: Copy>(one: Option<T>, other: Option<T>) -> Option<T> {
    if one.is_some() { one } else { other }
}

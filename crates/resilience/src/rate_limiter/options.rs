use std::num::NonZeroU32;
use std::time::Duration;

use awaitly_core::clock::Clock;

use super::RateLimiter;
use super::bucket::Rate;
use crate::name::Name;
use crate::time::Time;

/// The options of a rate limiter. Created by [`RateLimiter::options`].
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`burst`](Self::burst) | twice the number of calls |
/// | [`refuse`](Self::refuse) | a call for which no token is available waits, first come, first served |
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::RateLimiter;
///
/// let limiter = RateLimiter::options("tenant", 2, Duration::from_secs(60)).burst(1).refuse().build();
/// limiter.try_acquire().unwrap();
/// let refused = limiter.try_acquire().unwrap_err();
/// assert!(refused.retry_after > Some(Duration::from_secs(29)));
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `build`"]
pub struct Options {
    pub(super) name: Name,
    pub(super) rate: Rate,
    pub(super) refuses: bool,
    pub(super) time: Option<Time>,
}

impl Options {
    pub(super) fn new(name: Name, calls: u32, per: Duration) -> Self {
        let Some(calls) = NonZeroU32::new(calls) else {
            panic!("a limiter lets at least one call through: a rate of 0 is refused")
        };
        Self { name, rate: Rate { calls, per, burst: None }, refuses: false, time: None }
    }

    /// Creates options for an API: 10 calls a second, 20 at once.
    ///
    /// ```
    /// use awaitly_resilience::rate_limiter::Options;
    ///
    /// assert_eq!(Options::api("search").build().available(), 20);
    /// ```
    pub fn api(name: impl Into<Name>) -> Self {
        Self::new(name.into(), 10, Duration::from_secs(1)).burst(20)
    }

    /// Creates options for a third-party service: 5 calls a second, 10 at once.
    pub fn external(name: impl Into<Name>) -> Self {
        Self::new(name.into(), 5, Duration::from_secs(1)).burst(10)
    }

    /// Sets the maximum number of tokens: this many calls may come at once after a quiet time.
    ///
    /// # Default
    /// Twice the number of calls.
    ///
    /// # Panics
    /// Panics if `burst` is 0: no call would ever get through.
    pub const fn burst(mut self, burst: u32) -> Self {
        self.rate.burst = NonZeroU32::new(burst);
        assert!(self.rate.burst.is_some(), "a burst is at least one call: `burst(0)` is refused");
        self
    }

    /// Refuses a call for which no token is available.
    ///
    /// # Default
    /// The call waits.
    pub const fn refuse(mut self) -> Self {
        self.refuses = true;
        self
    }

    #[doc = include_str!("../clock.md")]
    /// ```
    /// use awaitly_core::clock::{VirtualClock, ms, secs};
    /// use awaitly_resilience::RateLimiter;
    ///
    /// let clock = VirtualClock::new();
    /// let limiter = RateLimiter::options("search", 10, secs(1)).burst(1).clock(clock.clone()).build();
    /// limiter.try_acquire().unwrap();
    /// clock.advance(ms(100));
    /// assert_eq!(limiter.available(), 1);
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::given(clock));
        self
    }

    /// Creates the limiter, with all its tokens.
    ///
    /// # Panics
    /// Panics if an empty limiter would take more than ten years to get all its tokens back.
    #[must_use]
    pub fn build(self) -> RateLimiter {
        RateLimiter::from_options(self)
    }
}

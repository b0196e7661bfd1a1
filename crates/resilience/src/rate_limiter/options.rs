use std::num::NonZeroU32;
use std::time::Duration;

use awaitly_core::clock::Clock;

use super::RateLimiter;
use super::quota::Rate;
use crate::name::Name;
use crate::time::Time;

/// The reaction to a call for which no token is available.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Exhausted {
    /// The call waits, first come, first served.
    #[default]
    Wait,
    /// The limiter refuses the call.
    Refuse,
}

/// The options of a rate limiter. Created by [`RateLimiter::options`].
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`burst`](Self::burst) | twice the number of calls |
/// | [`exhausted`](Self::exhausted) | [`Exhausted::Wait`] |
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `build`"]
pub struct Options {
    pub(super) name: Name,
    pub(super) rate: Rate,
    pub(super) exhausted: Exhausted,
    pub(super) time: Option<Time>,
}

impl Options {
    pub(super) fn new(name: Name, calls: u32, per: Duration) -> Self {
        let Some(calls) = NonZeroU32::new(calls) else {
            panic!("a limiter lets at least one call through: a rate of 0 is refused")
        };
        Self { name, rate: Rate { calls, per, burst: None }, exhausted: Exhausted::Wait, time: None }
    }

    /// Creates options for an API: 10 calls a second, 20 at once.
    pub fn api(name: impl Into<Name>) -> Self {
        Self::new(name.into(), 10, Duration::from_secs(1)).burst(20)
    }

    /// Creates options for a third-party service: 5 calls a second, 10 at once.
    pub fn external(name: impl Into<Name>) -> Self {
        Self::new(name.into(), 5, Duration::from_secs(1)).burst(10)
    }

    /// Sets how many calls may come at once after a pause.
    ///
    /// # Panics
    /// Panics if `burst` is 0: no call would ever get through.
    pub const fn burst(mut self, burst: u32) -> Self {
        self.rate.burst = NonZeroU32::new(burst);
        assert!(self.rate.burst.is_some(), "a burst is at least one call: `burst(0)` is refused");
        self
    }

    /// Sets the reaction to a call for which no token is available.
    pub const fn exhausted(mut self, exhausted: Exhausted) -> Self {
        self.exhausted = exhausted;
        self
    }

    /// Sets the clock for time and waits.
    ///
    /// # Default
    /// The processor's counter, and tokio's timer. The first policy of a process that uses the counter calibrates it,
    /// which takes some milliseconds.
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

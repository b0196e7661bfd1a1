use std::fmt;
use std::time::Duration;

use awaitly_core::clock::Clock;

use super::AdaptiveThrottle;
use super::decide::Rules;
use crate::name::Name;
use crate::time::Time;

/// The options of a throttle: the bounds of its limit, and the signs of overload. Created by
/// [`AdaptiveThrottle::options`].
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`start`](Self::start) | 10 calls at once |
/// | [`bounds`](Self::bounds) | from 1 to 1000 |
/// | [`backoff`](Self::backoff) | 0.9 |
/// | [`recovery`](Self::recovery) | 4 seconds |
/// | [`longest_pause`](Self::longest_pause) | 60 seconds |
/// | [`judge`](Self::judge) | no error is a sign of overload, only a timeout of a step's attempt |
/// | [`slower_than`](Self::slower_than) | no call is too slow |
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::AdaptiveThrottle;
///
/// let throttle: AdaptiveThrottle = AdaptiveThrottle::options("search")
///     .start(4)
///     .bounds(2, 50)
///     .backoff(0.8)
///     .recovery(Duration::from_secs(10))
///     .longest_pause(Duration::from_secs(300))
///     .slower_than(Duration::from_secs(2))
///     .build();
/// assert_eq!((throttle.name(), throttle.stats().limit), ("search", 4));
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until `build`"]
pub struct Options<J = ()> {
    pub(super) name: Name,
    pub(super) rules: Rules,
    pub(super) start: u32,
    pub(super) longest_pause: Duration,
    pub(super) slower_than: Option<Duration>,
    pub(super) judge: J,
    pub(super) time: Option<Time>,
}

impl Options {
    pub(super) const fn new(name: Name) -> Self {
        let rules = Rules { min: 1, max: 1000, backoff: 0.9, recovery: Duration::from_secs(4) };
        let (longest_pause, slower_than) = (Duration::from_secs(60), None);
        Self { name, rules, start: 10, longest_pause, slower_than, judge: (), time: None }
    }

    /// Creates options for a service whose limit is known: up to `calls` at once, half of them after an overload, and
    /// pauses if the service asks for one.
    ///
    /// # Panics
    /// Panics if `calls` is 0.
    ///
    /// ```
    /// use awaitly_resilience::adaptive_throttle::Options;
    ///
    /// assert_eq!(Options::simple("search", 20).build().stats().limit, 20);
    /// ```
    pub fn simple(name: impl Into<Name>, calls: u32) -> Self {
        Self::new(name.into()).start(calls).bounds(1, calls).backoff(0.5)
    }
}

impl<J> Options<J> {
    /// Sets how many calls run at once at the beginning. If the number is outside the [`bounds`](Self::bounds), the
    /// nearest bound applies.
    ///
    /// # Panics
    /// Panics if `calls` is 0.
    pub const fn start(mut self, calls: u32) -> Self {
        assert!(calls > 0, "at least one call runs: `start(0)` is refused");
        self.start = calls;
        self
    }

    /// Sets the bounds of the limit, in calls at once.
    ///
    /// # Panics
    /// Panics if `min` is 0 or above `max`.
    pub const fn bounds(mut self, min: u32, max: u32) -> Self {
        assert!(min > 0 && min <= max, "at least one call runs, and at most as many as `max`");
        (self.rules.min, self.rules.max) = (min, max);
        self
    }

    /// Sets the part of the limit that remains after an overload. Less remains if the service accepts a smaller part of
    /// the running calls.
    ///
    /// # Panics
    /// Panics if `part` is not above 0 and below 1.
    pub const fn backoff(mut self, part: f64) -> Self {
        assert!(part > 0.0 && part < 1.0, "what is left is above 0 and below 1");
        self.rules.backoff = part;
        self
    }

    /// Sets the time that the limit takes, after an overload, to return to its earlier value.
    pub const fn recovery(mut self, time: Duration) -> Self {
        self.rules.recovery = time;
        self
    }

    /// Sets the longest pause for which callers wait. While the rest of a pause is longer, the throttle refuses calls.
    pub const fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// Treats an accepted call that takes longer than `limit` as a sign of overload.
    pub const fn slower_than(mut self, limit: Duration) -> Self {
        self.slower_than = Some(limit);
        self
    }

    /// Sets the function that judges the operation's errors. A timeout of a step's attempt always means overload.
    /// Without a step, the throttle does not see a timeout around its `call`. Set the timeout inside the operation
    /// instead, and return an error from it.
    ///
    /// ```
    /// use awaitly_resilience::GuardExt;
    /// use awaitly_resilience::adaptive_throttle::{AdaptiveThrottle, Signal};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let throttle = AdaptiveThrottle::options("search")
    ///     .judge(|status: &u16| match status {
    ///         429 | 503 => Signal::Overloaded { wait: None },
    ///         _ => Signal::Accepted,
    ///     })
    ///     .build();
    /// let refused = throttle.call(async || Err::<u32, _>(429)).await;
    /// assert!(refused.is_err());
    /// assert_eq!(throttle.stats().limit, 9);
    /// # });
    /// ```
    pub fn judge<F>(self, judge: F) -> Options<F> {
        let Self { name, rules, start, longest_pause, slower_than, time, .. } = self;
        Options { name, rules, start, longest_pause, slower_than, judge, time }
    }

    #[doc = include_str!("../clock.md")]
    /// ```
    /// use awaitly_core::clock::{VirtualClock, secs};
    /// use awaitly_resilience::AdaptiveThrottle;
    ///
    /// let clock = VirtualClock::new();
    /// let throttle: AdaptiveThrottle = AdaptiveThrottle::options("search").clock(clock.clone()).build();
    /// throttle.pause(secs(3));
    /// clock.advance(secs(1));
    /// assert_eq!(throttle.paused(), Some(secs(2)));
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::given(clock));
        self
    }

    /// Creates the throttle.
    #[must_use]
    pub fn build(self) -> AdaptiveThrottle<J> {
        AdaptiveThrottle::from_options(self)
    }
}

impl<J> fmt::Debug for Options<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

use std::fmt;
use std::time::Duration;

use awaitly_core::clock::Clock;

use super::decide::{Rate, Rules};
use super::gate::{Gate, OnChange};
use super::window::Window;
use super::{Change, CircuitBreaker};
use crate::name::Name;
use crate::time::Time;

/// The options of a breaker: the conditions under which it opens and closes. Created by [`CircuitBreaker::options`].
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`failures`](Self::failures) | 5 |
/// | [`within`](Self::within), [`last_calls`](Self::last_calls) | the last 60 seconds |
/// | [`failure_rate`](Self::failure_rate) | not considered |
/// | [`slow_calls`](Self::slow_calls) | not considered |
/// | [`retry_after`](Self::retry_after) | 30 seconds |
/// | [`probes`](Self::probes) | 3 |
/// | [`failure_when`](Self::failure_when) | every error |
///
/// The breaker opens if one of the conditions holds. The number of failures remains a condition beside the rates;
/// [`ignore_failures`](Self::ignore_failures) removes it.
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::CircuitBreaker;
///
/// // Opens for 10 seconds if half of at least 20 calls in a minute failed, or took longer than 2 seconds.
/// let breaker = CircuitBreaker::options("search")
///     .within(Duration::from_secs(60))
///     .ignore_failures()
///     .failure_rate(0.5, 20)
///     .slow_calls(Duration::from_secs(2), 0.5, 20)
///     .retry_after(Duration::from_secs(10))
///     .probes(5)
///     .build();
/// ```
#[must_use = "options do nothing until `build`"]
pub struct Options<P = ()> {
    name: Name,
    rules: Rules,
    failure: P,
    time: Option<Time>,
    on_change: Vec<OnChange>,
}

impl Options {
    pub(super) fn new(name: Name) -> Self {
        let rules = Rules {
            window: Window::Time(Duration::from_secs(60)),
            failures: Some(5),
            failure_rate: None,
            slow_rate: None,
            slower_than: Duration::MAX,
            reopens_after: Duration::from_secs(30),
            probes: 3,
        };
        Self { name, rules, failure: (), time: None, on_change: Vec::new() }
    }

    /// Creates options for calls that must not go wrong: the breaker opens for 60 seconds after 3 failures within 30
    /// seconds, and one successful probe closes it.
    pub fn critical(name: impl Into<Name>) -> Self {
        let window = Duration::from_secs(30);
        Self::new(name.into()).failures(3).within(window).retry_after(Duration::from_secs(60)).probes(1)
    }

    /// Creates the default options.
    pub fn standard(name: impl Into<Name>) -> Self {
        Self::new(name.into())
    }

    /// Creates options for a service that fails occasionally: the breaker opens for 15 seconds after 10 failures within
    /// 120 seconds, and closes after 5 probes.
    ///
    /// ```
    /// use awaitly_resilience::circuit_breaker::{Options, State};
    ///
    /// let breaker = Options::lenient("search").failures(1).build();
    /// breaker.record_failure();
    /// assert_eq!(breaker.state(), State::Open);
    /// ```
    pub fn lenient(name: impl Into<Name>) -> Self {
        let window = Duration::from_secs(120);
        Self::new(name.into()).failures(10).within(window).retry_after(Duration::from_secs(15)).probes(5)
    }
}

impl<P> Options<P> {
    /// Sets the window of the breaker to the calls that ended within this time. The window moves in steps of a sixtieth:
    /// it never counts calls that are older than the window, and always counts calls that are younger than 59 steps.
    ///
    /// # Panics
    /// Panics if the time is zero.
    pub const fn within(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a window lasts for some time: `within(0)` is refused");
        self.rules.window = Window::Time(time);
        self
    }

    /// Sets the window of the breaker to the `calls` newest calls.
    ///
    /// # Panics
    /// Panics if `calls` is 0.
    pub const fn last_calls(mut self, calls: u32) -> Self {
        assert!(calls > 0, "a window has at least one call: `last_calls(0)` is refused");
        self.rules.window = Window::Calls(calls);
        self
    }

    /// Opens the breaker if at least `failures` calls in the window have failed.
    ///
    /// # Panics
    /// Panics if `failures` is 0: such a breaker would never close.
    pub const fn failures(mut self, failures: u32) -> Self {
        assert!(failures > 0, "a breaker opens after at least one failure: `failures(0)` is refused");
        self.rules.failures = Some(failures);
        self
    }

    /// Removes the condition on the number of failures, so that only [`failure_rate`](Self::failure_rate) and
    /// [`slow_calls`](Self::slow_calls) open the breaker. Set at least one of them.
    pub const fn ignore_failures(mut self) -> Self {
        self.rules.failures = None;
        self
    }

    /// Opens the breaker if at least `part` of the calls in the window have failed, and the window holds at least
    /// `of_at_least` calls.
    ///
    /// # Panics
    /// Panics if `part` is NaN, at most 0, or above 1.
    ///
    /// ```
    /// use awaitly_resilience::circuit_breaker::{CircuitBreaker, State};
    ///
    /// let breaker = CircuitBreaker::options("search").last_calls(100).failure_rate(0.5, 4).build();
    /// breaker.record_failure();
    /// (0..2).for_each(|_| breaker.record_success());
    /// assert_eq!(breaker.state(), State::Closed);
    /// breaker.record_failure();
    /// assert_eq!(breaker.state(), State::Open);
    /// ```
    pub const fn failure_rate(mut self, part: f64, of_at_least: u32) -> Self {
        assert!(part > 0.0 && part <= 1.0, "a rate is above 0 and at most 1");
        self.rules.failure_rate = Some(Rate { part, of_at_least });
        self
    }

    /// Opens the breaker if at least `part` of the calls in the window took longer than `slower_than`, and the window
    /// holds at least `of_at_least` calls. A slow call counts even if it succeeded, and a slow probe opens the breaker
    /// again. The time starts at the breaker's admission, so it includes the waits at the guards after the breaker.
    ///
    /// # Panics
    /// Panics if `part` is NaN, at most 0, or above 1.
    pub const fn slow_calls(mut self, slower_than: Duration, part: f64, of_at_least: u32) -> Self {
        assert!(part > 0.0 && part <= 1.0, "a rate is above 0 and at most 1");
        self.rules.slow_rate = Some(Rate { part, of_at_least });
        self.rules.slower_than = slower_than;
        self
    }

    /// Sets how long an open breaker refuses calls before it admits probes.
    pub const fn retry_after(mut self, delay: Duration) -> Self {
        self.rules.reopens_after = delay;
        self
    }

    /// Sets how many calls a half-open breaker admits, and how many of them have to succeed before it closes. If a
    /// probe fails, the breaker opens again. If a probe never ends, the breaker stays half-open, so give calls a
    /// timeout.
    ///
    /// # Panics
    /// Panics if `probes` is 0: the breaker would never close.
    pub const fn probes(mut self, probes: u32) -> Self {
        assert!(probes > 0, "a half-open breaker lets at least one call through: `probes(0)` is refused");
        self.rules.probes = probes;
        self
    }

    /// Counts only the errors of the operation for which `failure` returns `true` as failures. Other errors count as
    /// successes. For example, a declined card is an error, but it shows that the service works.
    ///
    /// A timeout of a step's attempt always counts as a failure. Without a step, the breaker does not see a timeout
    /// around its `call` or its `tower` layer: such a timeout drops the call, and a dropped call does not count. Set
    /// the timeout inside the operation and return an error from it; `failure` then receives this error.
    ///
    /// ```
    /// use awaitly_resilience::circuit_breaker::{CircuitBreaker, State};
    /// use awaitly_resilience::GuardExt;
    /// # #[derive(Debug)]
    /// # enum PaymentError { Declined, Down }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let breaker = CircuitBreaker::options("payments")
    ///     .failures(1)
    ///     .failure_when(|error: &PaymentError| matches!(error, PaymentError::Down))
    ///     .build();
    /// let _ = breaker.call(async || Err::<u32, _>(PaymentError::Declined)).await;
    /// assert_eq!(breaker.state(), State::Closed);
    /// let _ = breaker.call(async || Err::<u32, _>(PaymentError::Down)).await;
    /// assert_eq!(breaker.state(), State::Open);
    /// # });
    /// ```
    pub fn failure_when<F>(self, failure: F) -> Options<F> {
        let Self { name, rules, time, on_change, .. } = self;
        Options { name, rules, failure, time, on_change }
    }

    /// Calls `tell` after each change of the state, on the thread that caused the change. Several threads can call
    /// `tell` at once; of two changes, the later one has the higher [`number`](Change::number). The breaker catches and
    /// logs a panic in `tell`. If `on_change` is called several times, the breaker calls all functions.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use awaitly_resilience::circuit_breaker::{CircuitBreaker, State};
    ///
    /// let (changes, told) = mpsc::channel();
    /// let breaker = CircuitBreaker::options("search")
    ///     .on_change(move |change| changes.send((change.from, change.to)).unwrap())
    ///     .build();
    /// breaker.open();
    /// assert_eq!(told.recv(), Ok((State::Closed, State::Open)));
    /// ```
    pub fn on_change(mut self, tell: impl Fn(&Change) + Send + Sync + 'static) -> Self {
        self.on_change.push(Box::new(tell));
        self
    }

    #[doc = include_str!("../clock.md")]
    /// ```
    /// use awaitly_core::clock::{VirtualClock, secs};
    /// use awaitly_resilience::circuit_breaker::{CircuitBreaker, State};
    ///
    /// let clock = VirtualClock::new();
    /// let breaker = CircuitBreaker::options("search").failures(1).clock(clock.clone()).build();
    /// breaker.record_failure();
    /// assert_eq!(breaker.stats().probes_in, Some(secs(30)));
    /// clock.advance(secs(30));
    /// assert_eq!(breaker.state(), State::HalfOpen);
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::given(clock));
        self
    }

    /// Creates the breaker in the closed state.
    #[must_use]
    pub fn build(self) -> CircuitBreaker<P> {
        let Self { name, rules, failure, time, on_change } = self;
        let time = time.unwrap_or_else(Time::counter);
        CircuitBreaker::from_parts(failure, Gate::new(name, rules, time, on_change))
    }
}

impl<P> fmt::Debug for Options<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

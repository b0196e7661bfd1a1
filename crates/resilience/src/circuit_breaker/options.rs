use std::fmt;
use std::time::Duration;

use awaitly_core::clock::Clock;

use super::decide::{Rate, Rules};
use super::gate::{Gate, OnChange};
use super::{Change, CircuitBreaker, Window};
use crate::failure::{Every, When};
use crate::name::Name;
use crate::time::Time;

/// When a breaker opens, and how it closes again. Made with [`CircuitBreaker::options`].
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`failures`](Self::failures) | 5 |
/// | [`window`](Self::window) | the last 60 seconds |
/// | [`failure_rate`](Self::failure_rate) | not looked at |
/// | [`slow_calls`](Self::slow_calls) | not looked at |
/// | [`retry_after`](Self::retry_after) | 30 seconds |
/// | [`probes`](Self::probes) | 3 |
/// | [`failure_when`](Self::failure_when) | every error |
///
/// As soon as one of the conditions holds, the breaker opens. Those that are set stand beside the number of
/// failures; [`ignore_failures`](Self::ignore_failures) leaves them alone.
#[must_use = "options do nothing until `build`"]
pub struct Options<P = Every> {
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
        Self { name, rules, failure: Every, time: None, on_change: Vec::new() }
    }

    /// What guards a call that must not be wrong: opens after 3 failures within 30 seconds, for 60, and one probe
    /// that goes well closes it.
    pub fn critical(name: impl Into<Name>) -> Self {
        let window = Window::Time(Duration::from_secs(30));
        Self::new(name.into()).failures(3).window(window).retry_after(Duration::from_secs(60)).probes(1)
    }

    /// The defaults.
    pub fn standard(name: impl Into<Name>) -> Self {
        Self::new(name.into())
    }

    /// For a service that fails now and then: opens after 10 failures within 120 seconds, for 15, and closes after
    /// 5 probes.
    pub fn lenient(name: impl Into<Name>) -> Self {
        let window = Window::Time(Duration::from_secs(120));
        Self::new(name.into()).failures(10).window(window).retry_after(Duration::from_secs(15)).probes(5)
    }
}

impl<P> Options<P> {
    /// What it looks back at.
    ///
    /// # Panics
    /// Where the window is empty.
    pub const fn window(mut self, window: Window) -> Self {
        let empty = match window {
            Window::Calls(calls) => calls == 0,
            Window::Time(length) => length.is_zero(),
        };
        assert!(!empty, "a window has at least one call, or lasts for some time");
        self.rules.window = window;
        self
    }

    /// Opens once so many calls in the window have failed.
    ///
    /// # Panics
    /// Where `failures` is 0: a breaker that opens without one would never close.
    pub const fn failures(mut self, failures: u32) -> Self {
        assert!(failures > 0, "a breaker opens after at least one failure: `failures(0)` is refused");
        self.rules.failures = Some(failures);
        self
    }

    /// Does not open for a number of failures, only for what else is set.
    pub const fn ignore_failures(mut self) -> Self {
        self.rules.failures = None;
        self
    }

    /// Opens once at least `part` of the calls in the window have failed, given that there are `of_at_least`.
    ///
    /// # Panics
    /// Where `part` is not above 0 and at most 1.
    pub const fn failure_rate(mut self, part: f64, of_at_least: u32) -> Self {
        assert!(part > 0.0 && part <= 1.0, "a rate is above 0 and at most 1");
        self.rules.failure_rate = Some(Rate { part, of_at_least });
        self
    }

    /// Opens once at least `part` of the calls in the window took longer than `slower_than`, given that there are
    /// `of_at_least`. A slow call counts also where it succeeded, and a slow probe opens the breaker again. The time is
    /// that from the breaker's admission on, with the waits at guards that come after it.
    ///
    /// # Panics
    /// Where `part` is not above 0 and at most 1.
    pub const fn slow_calls(mut self, slower_than: Duration, part: f64, of_at_least: u32) -> Self {
        assert!(part > 0.0 && part <= 1.0, "a rate is above 0 and at most 1");
        self.rules.slow_rate = Some(Rate { part, of_at_least });
        self.rules.slower_than = slower_than;
        self
    }

    /// How long an open breaker refuses before it lets probes through.
    pub const fn retry_after(mut self, delay: Duration) -> Self {
        self.rules.reopens_after = delay;
        self
    }

    /// How many calls a half-open breaker lets through, and how many of them have to go well for it to close. One
    /// that fails opens it again. One that never ends keeps it half-open: give calls a timeout.
    ///
    /// # Panics
    /// Where `probes` is 0: it would never close.
    pub const fn probes(mut self, probes: u32) -> Self {
        assert!(probes > 0, "a half-open breaker lets at least one call through: `probes(0)` is refused");
        self.rules.probes = probes;
        self
    }

    /// Counts only those errors of the operation of which `failure` says so; the others count as successes. A
    /// timeout of a step's attempt always counts as a failure.
    pub fn failure_when<F>(self, failure: F) -> Options<When<F>> {
        let Self { name, rules, time, on_change, .. } = self;
        Options { name, rules, failure: When(failure), time, on_change }
    }

    /// Calls `tell` after each change of the state, on the thread of the caller that made it. Of two changes the
    /// one with the higher number is the later. A panic in `tell` is caught and logged.
    pub fn on_change(mut self, tell: impl Fn(&Change) + Send + Sync + 'static) -> Self {
        self.on_change.push(Box::new(tell));
        self
    }

    /// Reads the time off this clock.
    ///
    /// # Default
    /// The processor's counter. The first policy of a process that uses it calibrates it, which takes some
    /// milliseconds.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::given(clock));
        self
    }

    /// The breaker, closed.
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

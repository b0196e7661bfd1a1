use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of a queue. The limits hold across all workers of a store.
///
/// # Default
/// No limits, not fair. A queue without settings needs no `Queue`.
///
/// # Examples
/// ```
/// use awaitly_core::dispatch::{Queue, Rate};
///
/// let orders = Queue::new("orders").concurrency(50).per_key(1).rate(Rate::per_second(20));
/// assert!(orders.is_limited());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub struct Queue {
    /// The name.
    pub name: Arc<str>,
    /// The number of runs that may be running at a time. `None`: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The number of runs of one key that may be running at a time. `None`: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_key: Option<u32>,
    /// The number of runs that may start per period. `None`: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Whether the keys of the queue take turns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fair: bool,
}

/// A number of starts per period.
///
/// No window of one period contains more than `runs` starts. The starts are spread over the period: at most a twentieth
/// of the runs may start at once, and always at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rate {
    /// The number of starts.
    pub runs: u32,
    /// The period.
    pub period: Duration,
}

impl Rate {
    /// Creates a rate of `runs` per `period`.
    ///
    /// # Panics
    /// Panics if `runs` is 0 or `period` is shorter than a microsecond. To stop a queue, pause it.
    #[must_use]
    pub const fn new(runs: u32, period: Duration) -> Self {
        assert!(runs > 0, "`runs` must be at least 1: pause the queue to stop it");
        assert!(period.as_micros() > 0, "`period` must be at least a microsecond");
        Self { runs, period }
    }

    /// Creates a rate of `runs` per second.
    ///
    /// # Panics
    /// Panics if `runs` is 0.
    #[must_use]
    pub const fn per_second(runs: u32) -> Self {
        Self::new(runs, Duration::from_secs(1))
    }

    /// Creates a rate of `runs` per minute.
    ///
    /// # Panics
    /// Panics if `runs` is 0.
    #[must_use]
    pub const fn per_minute(runs: u32) -> Self {
        Self::new(runs, Duration::from_secs(60))
    }

    /// The number of starts that may happen at once.
    pub(super) fn burst(self) -> u32 {
        (self.runs / 20).max(1)
    }

    /// The time between two starts, in microseconds. In one period, a burst and the starts at this interval are at most
    /// `runs`.
    pub(super) fn interval(self) -> u64 {
        let period = u64::try_from(self.period.as_micros()).unwrap_or(u64::MAX);
        period.div_ceil(u64::from(self.runs - self.burst() + 1)).max(1)
    }
}

impl Queue {
    /// Creates the settings of the queue `name`, without limits.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), concurrency: None, per_key: None, rate: None, fair: false }
    }

    /// Sets the number of runs that may be running at a time. A run that waits in the store is not running.
    ///
    /// # Panics
    /// Panics if `runs` is 0. To stop a queue, pause it.
    pub const fn concurrency(mut self, runs: u32) -> Self {
        assert!(runs > 0, "`concurrency` must be at least 1: pause the queue to stop it");
        self.concurrency = Some(runs);
        self
    }

    /// Sets the number of runs of one key that may be running at a time. Runs without a key have no such limit.
    ///
    /// # Panics
    /// Panics if `runs` is 0. To stop a queue, pause it.
    pub const fn per_key(mut self, runs: u32) -> Self {
        assert!(runs > 0, "`per_key` must be at least 1: pause the queue to stop it");
        self.per_key = Some(runs);
        self
    }

    /// Sets the number of runs that may start per period, by the store's clock. A resumed run counts as a start.
    pub const fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Lets the keys of the queue take turns: a key with many runs delays the next run of another key by one run. In a
    /// fair queue, one point of priority is worth one turn.
    pub const fn fair(mut self) -> Self {
        self.fair = true;
        self
    }

    /// Returns whether the queue has a limit, so that a claim has to count its running runs.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.concurrency.is_some() || self.per_key.is_some() || self.rate.is_some()
    }
}

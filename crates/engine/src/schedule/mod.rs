//! Schedules, which start a run at each time of a rule.
//!
//! A schedule is a row in the store, not a process. Every worker of the store starts the due runs of all schedules. The
//! id of each run contains its time, so if two workers start a run at once, the store adds it once.

mod clients;
mod fire;
mod info;
mod plan;
mod rule;
mod stored;

use std::time::Duration;

use awaitly_core::clock::hours;
use awaitly_core::journal::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use clients::list;
pub use clients::{ScheduleHandle, Scheduling};
pub(crate) use fire::{Fired, fire};
pub use info::ScheduleInfo;
use rule::Rule;
pub use rule::ScheduleError;
pub use stored::scheduled_for;

/// The rule of a schedule, and its options.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`zone`](Self::zone) | UTC |
/// | [`overlap`](Self::overlap) | [`Overlap::Allow`] |
/// | [`catch_up`](Self::catch_up) | one hour |
/// | [`jitter`](Self::jitter) | none |
///
/// # Examples
/// ```
/// use awaitly_core::clock::{hours, mins};
/// use awaitly_engine::{Overlap, Schedule};
///
/// let nightly = Schedule::cron("0 3 * * *").zone("Europe/Vienna").overlap(Overlap::Skip).catch_up(hours(12));
/// let often = Schedule::every(mins(5)).jitter(mins(1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a schedule has no effect until a client stores it"]
pub struct Schedule {
    #[serde(flatten)]
    rule: Rule,
    #[serde(default, skip_serializing_if = "is_default")]
    overlap: Overlap,
    catch_up: Duration,
    #[serde(default, skip_serializing_if = "is_default")]
    jitter: Duration,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The behaviour of a schedule if its last run has not ended when the next one is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The next run starts beside the last one.
    #[default]
    Allow,
    /// The next run does not start. If several times are due, for example after an outage, only the newest one starts a
    /// run.
    Skip,
    /// The next run starts when the last one has ended. At most one run waits. Further ones do not start.
    Buffer,
    /// The worker cancels the last run, and starts the next one at once, while the last one undoes its work.
    Cancel,
}

impl Schedule {
    /// Creates a schedule from a cron expression: minute, hour, day of the month, month, day of the week. If there are
    /// six fields, the first one is the second. The crate `croner` defines the syntax, with lists, ranges, steps,
    /// names, `L`, `W` and `#`, and nicknames such as `@daily`.
    ///
    /// An expression with fixed hours and minutes starts one run per matching local time. If the clock skips the time,
    /// the run starts at the first moment after the gap. If the clock repeats the time, the run starts at the first of
    /// the two. If the hour or the minute is a wildcard or has a step, the schedule also starts runs in the repeated
    /// hour.
    ///
    /// [`Client::schedule`](crate::Client::schedule) checks the expression.
    pub fn cron(expression: impl Into<String>) -> Self {
        Self::of(Rule::Cron { cron: expression.into(), zone: "UTC".into() })
    }

    /// Creates a schedule with a constant period. Its times are the multiples of the period since 1970 in UTC, so all
    /// workers agree on them.
    pub const fn every(period: Duration) -> Self {
        Self::of(Rule::Every { every: period })
    }

    const fn of(rule: Rule) -> Self {
        Self { rule, overlap: Overlap::Allow, catch_up: hours(1), jitter: Duration::ZERO }
    }

    /// Sets the time zone of a cron expression, by its name in the tz database: `Europe/Vienna`. Has no effect on a
    /// constant period.
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        if let Rule::Cron { zone, .. } = &mut self.rule {
            *zone = name.into();
        }
        self
    }

    /// Sets the behaviour if the last run has not ended when the next one is due.
    pub const fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets the age up to which a missed time still starts its run, after an outage of all workers. Older times start
    /// no run. The minimum is ten seconds, because no run starts exactly on time.
    pub fn catch_up(mut self, window: Duration) -> Self {
        self.catch_up = window.max(Duration::from_secs(10));
        self
    }

    /// Delays each run by a time from zero to `jitter`, which depends on the name of the schedule and the time of the
    /// run. Use it if many schedules have equal times.
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Returns the first `count` times after `after`, without jitter.
    ///
    /// # Errors
    /// Returns [`ScheduleError`] if the expression or the time zone is not valid.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::Timestamp;
    /// use awaitly_engine::Schedule;
    ///
    /// let hourly = Schedule::cron("30 * * * *");
    /// let times = hourly.times(Timestamp::from_millis(0), 2)?;
    /// assert_eq!(times, [Timestamp::from_millis(1_800_000), Timestamp::from_millis(5_400_000)]);
    /// # Ok::<_, awaitly_engine::ScheduleError>(())
    /// ```
    pub fn times(&self, after: Timestamp, count: usize) -> Result<Vec<Timestamp>, ScheduleError> {
        Ok(self.rule.parsed()?.after(after).take(count).collect())
    }
}

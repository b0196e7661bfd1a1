use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A moment by the clock of a store: milliseconds since 1970 in UTC.
///
/// Every moment that outlives a process is a timestamp, for example the beginning of a run, the end of a sleep or the
/// expiry of a question. Timestamps come from the store's own clock, so the clocks of the processes may be wrong. If
/// the program sets [`Workflow::clock`](crate::Workflow::clock), the times that a run records come from that clock
/// instead.
///
/// ```
/// use std::time::Duration;
///
/// use awaitly_core::journal::Timestamp;
///
/// let asked = Timestamp::from_millis(1_000);
/// let expires = asked.after(Duration::from_secs(60));
/// assert_eq!(expires.as_millis(), 61_000);
/// assert_eq!(Timestamp::from_millis(31_000).until(expires), Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last moment that every store can keep, about 285 000 years from now: 2^53 − 1 milliseconds, the largest
    /// integer that a double holds exactly.
    ///
    /// ```
    /// use awaitly_core::journal::Timestamp;
    ///
    /// assert_eq!(Timestamp::from_millis(0).after(std::time::Duration::MAX), Timestamp::MAX);
    /// ```
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Creates the moment `millis` milliseconds after 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the number of milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the moment `delay` later, limited to [`MAX`](Self::MAX). The delay is rounded up to a whole millisecond,
    /// so that a wait never ends too early.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use awaitly_core::journal::Timestamp;
    ///
    /// let now = Timestamp::from_millis(5);
    /// assert_eq!(now.after(Duration::from_micros(1_200)), Timestamp::from_millis(7));
    /// ```
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        let millis = delay.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)).min(Self::MAX.0))
    }

    /// Returns the moment `duration` earlier. The duration is rounded down to a whole millisecond, and the result is
    /// not before 1970.
    ///
    /// ```
    /// use awaitly_core::clock::days;
    /// use awaitly_core::journal::Timestamp;
    /// use awaitly_core::store::{Operate, RunQuery, StoreError};
    ///
    /// /// Counts the runs that have not changed for 90 days.
    /// async fn old_runs(store: &impl Operate) -> Result<usize, StoreError> {
    ///     let old: Timestamp = store.now().await?.before(days(90));
    ///     Ok(store.list(RunQuery::new().changed_before(old).limit(1000)).await?.items.len())
    /// }
    /// ```
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// Returns the time from this moment until `later`, or zero if `later` is not after it.
    ///
    /// ```
    /// use awaitly_core::clock::mins;
    /// use awaitly_core::journal::Timestamp;
    ///
    /// let now = Timestamp::from_millis(1_000_000);
    /// assert_eq!(now.until(now.after(mins(5))), mins(5));
    /// assert!(now.until(now.before(mins(5))).is_zero());
    /// ```
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

impl From<SystemTime> for Timestamp {
    /// Converts a system time. A time before 1970 becomes 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    /// Converts to a system time. A moment beyond the range of the system becomes 1970.
    fn from(timestamp: Timestamp) -> Self {
        Self::UNIX_EPOCH.checked_add(Duration::from_millis(timestamp.0)).unwrap_or(Self::UNIX_EPOCH)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({} ms)", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_add_up_and_never_overflow() {
        let begin = Timestamp::from_millis(1_000);
        assert_eq!(begin.after(Duration::from_millis(500)).as_millis(), 1_500);
        assert_eq!(begin.after(Duration::from_micros(1)).as_millis(), 1_001);
        assert_eq!(begin.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(begin.until(Timestamp::from_millis(1_250)), Duration::from_millis(250));
        assert_eq!(begin.until(Timestamp::default()), Duration::ZERO);
        assert_eq!(begin.before(Duration::from_millis(400)).as_millis(), 600);
        assert_eq!(begin.before(Duration::MAX), Timestamp::default());
    }

    #[test]
    fn moment_is_a_number_in_json() {
        assert_eq!(serde_json::to_string(&Timestamp::from_millis(7)).unwrap(), "7");
        assert_eq!(Timestamp::from(SystemTime::from(Timestamp::from_millis(7))).as_millis(), 7);
    }
}

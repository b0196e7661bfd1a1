//! Time for the policies, in nanoseconds; a policy is created at [`Moment::START`].
//!
//! Unless the caller sets a clock, time comes from the processor's counter, at less than half the cost of the system's
//! clock.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use awaitly_core::clock::{Clock, Sleep, SystemClock};

/// The source of time and of waits.
#[derive(Debug, Clone)]
pub(crate) enum Time {
    Counter { counter: quanta::Clock, base: u64 },
    Given { clock: Arc<dyn Clock>, base: Instant },
}

impl Time {
    /// Creates a source that reads the processor's counter.
    pub(crate) fn counter() -> Self {
        let counter = quanta::Clock::new();
        let base = counter.raw();
        Self::Counter { counter, base }
    }

    pub(crate) fn given(clock: impl Clock) -> Self {
        let base = clock.now();
        Self::Given { clock: Arc::new(clock), base }
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match self {
            Self::Counter { counter, base } => {
                Moment(Moment::START.0 + counter.delta_as_nanos(*base, counter.raw()))
            }
            Self::Given { clock, base } => Moment::START.after(clock.now().saturating_duration_since(*base)),
        }
    }

    /// Returns the time of day.
    pub(crate) fn wall(&self) -> SystemTime {
        match self {
            Self::Counter { .. } => SystemTime::now(),
            Self::Given { clock, .. } => clock.wall(),
        }
    }

    /// Waits for `delay`.
    pub(crate) fn sleep(&self, delay: Duration) -> Sleep {
        match self {
            Self::Counter { .. } => sleep(&SystemClock, delay),
            Self::Given { clock, .. } => sleep(&**clock, delay),
        }
    }
}

fn sleep(clock: &dyn Clock, delay: Duration) -> Sleep {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    let now = clock.now();
    clock.sleep_until(now.checked_add(delay.min(FAR)).unwrap_or(now))
}

/// A moment, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// The moment at which the policy was created. It leaves room for 36 years before it, for moments from another
    /// process.
    pub(crate) const START: Self = Self(1 << 60);

    /// Returns the moment `delay` later, or the last possible moment if that is later still.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(nanos(delay)))
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Converts a duration to nanoseconds, or to `u64::MAX` if it is too long.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

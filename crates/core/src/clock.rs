//! The source of time: [`SystemClock`] in programs, [`VirtualClock`] in tests.
//!
//! The library reads time and waits through a [`Clock`] only. Therefore a test that controls the clock controls all timeouts,
//! backoffs and sleeps.

mod system;
mod virtual_clock;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

pub use system::SystemClock;
pub use virtual_clock::VirtualClock;

/// A future that ends when the clock reaches a moment.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time, and of waits for a later time.
///
/// [`now`](Self::now) is monotonic, and the library measures durations, timeouts and waits with it. [`wall`](Self::wall) is the
/// time of day, which an operator can set; the library uses it for moments that outlive the process.
///
/// ```
/// use std::time::{Instant, SystemTime};
///
/// use awaitly_core::clock::{Clock, Sleep, SystemClock, hours};
///
/// /// A machine whose time of day is an hour fast.
/// #[derive(Debug)]
/// struct Fast;
///
/// impl Clock for Fast {
///     fn now(&self) -> Instant {
///         SystemClock.now()
///     }
///
///     fn wall(&self) -> SystemTime {
///         SystemClock.wall() + hours(1)
///     }
///
///     fn sleep_until(&self, at: Instant) -> Sleep {
///         SystemClock.sleep_until(at)
///     }
/// }
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> Instant;

    /// Returns the present time of day.
    fn wall(&self) -> SystemTime;

    /// Waits until `at`. Ends at once if `at` has passed. Dropping the future does not affect other waits.
    fn sleep_until(&self, at: Instant) -> Sleep;
}

/// Returns `n` milliseconds.
///
/// ```
/// use awaitly_core::clock::{mins, ms, secs};
///
/// assert_eq!(secs(90) + ms(500), mins(1) + ms(30_500));
/// ```
#[must_use]
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Returns `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Returns `n` minutes.
#[must_use]
pub const fn mins(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// Returns `n` hours.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    mins(n.saturating_mul(60))
}

/// Returns `n` days of 24 hours.
///
/// ```
/// use awaitly_core::clock::{days, hours};
///
/// assert_eq!(days(2) + hours(12), hours(60));
/// ```
#[must_use]
pub const fn days(n: u64) -> Duration {
    hours(n.saturating_mul(24))
}

/// Returns the moment `delay` after `from`, or a moment in the far future if the sum overflows.
pub(crate) fn later(from: Instant, delay: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    from.checked_add(delay).or_else(|| from.checked_add(FAR)).unwrap_or(from)
}

/// Returns the milliseconds of `duration`, as logs and journals contain them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

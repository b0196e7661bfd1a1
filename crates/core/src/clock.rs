//! Time, from one place: [`SystemClock`] as a rule, [`VirtualClock`] in tests.
//!
//! Everything in the library that asks what time it is or waits asks a [`Clock`], so that a test that
//! owns the clock owns all timeouts, backoffs and sleeps.

mod system;
mod virtual_clock;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

pub use system::SystemClock;
pub use virtual_clock::VirtualClock;

/// A wait for a moment. It ends once the clock has reached it.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What time it is, and waiting for a later time.
///
/// [`now`](Self::now) never goes back and is what durations, timeouts and waits are measured by;
/// [`wall`](Self::wall) is the time of day, which may be set, and is used where a moment must outlive
/// the process.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Instant;

    /// The present time of day.
    fn wall(&self) -> SystemTime;

    /// Ends at `at`, or at once where that has passed. Dropping it costs nothing.
    fn sleep_until(&self, at: Instant) -> Sleep;
}

/// `n` milliseconds.
#[must_use]
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes.
#[must_use]
pub const fn mins(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// `n` hours.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    mins(n.saturating_mul(60))
}

/// `n` days of 24 hours.
#[must_use]
pub const fn days(n: u64) -> Duration {
    hours(n.saturating_mul(24))
}

/// The moment `delay` after `from`; far in the future where that cannot be expressed.
pub(crate) fn later(from: Instant, delay: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    from.checked_add(delay).or_else(|| from.checked_add(FAR)).unwrap_or(from)
}

/// The milliseconds of `duration`, as logs and journals hold them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

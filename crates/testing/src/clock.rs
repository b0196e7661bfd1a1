use std::time::{Duration, Instant, SystemTime};

use awaitly_core::clock::{Clock, Sleep, SystemClock};
use awaitly_persistence::MemoryStore;

use crate::watched::progress;

/// A [`Clock`] that follows tokio's time and starts at midnight, 1 January 2000, UTC.
///
/// In paused time, a component that reads this clock behaves identically on every run. Pass it to components that
/// take a clock of their own, such as limiters and breakers.
///
/// ```
/// use awaitly_core::clock::{Clock, days};
/// use awaitly_testing::PausedClock;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let clock = PausedClock::new();
/// let began = clock.wall();
/// clock.sleep_until(clock.now() + days(30)).await; // takes no time
/// assert_eq!(clock.wall().duration_since(began).unwrap(), days(30));
/// # });
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PausedClock {
    made: Instant,
}

impl PausedClock {
    /// The moment at which every clock starts, midnight, 1 January 2000, UTC, as a duration since the Unix epoch.
    pub const MIDNIGHT: Duration = Duration::from_secs(946_684_800);

    /// Creates a clock whose current time is midnight, 1 January 2000, UTC.
    #[must_use]
    pub fn new() -> Self {
        Self { made: SystemClock.now() }
    }

    /// Returns the time since the clock was created.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now().saturating_duration_since(self.made)
    }

    /// Creates an empty store in memory whose time continues from this clock's current time. Timestamps from the
    /// store and readings of the clock then agree.
    ///
    /// ```
    /// use awaitly_core::clock::{Clock, days};
    /// use awaitly_core::store::Operate;
    /// use awaitly_testing::PausedClock;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let clock = PausedClock::new();
    /// clock.advance(days(2)).await;
    /// assert_eq!(clock.store().now().await.unwrap(), clock.wall().into());
    /// # });
    /// ```
    #[must_use]
    pub fn store(&self) -> MemoryStore {
        MemoryStore::made_at(self.wall())
    }

    /// Advances virtual time by `by`, and lets every timer that falls due fire.
    ///
    /// # Panics
    /// Panics if tokio's time is not paused, or if `by` exceeds the limit of the surrounding simulation
    /// ([`Simulation::time_limit`](crate::Simulation::time_limit)).
    ///
    /// ```
    /// use awaitly_core::clock::mins;
    /// use awaitly_testing::{PausedClock, simulate};
    ///
    /// simulate(async || {
    ///     let timer = tokio::spawn(tokio::time::sleep(mins(5)));
    ///     let clock = PausedClock::new();
    ///     clock.advance(mins(6)).await;
    ///     assert!(timer.is_finished());
    ///     assert_eq!(clock.elapsed(), mins(6));
    /// });
    /// ```
    pub async fn advance(&self, by: Duration) {
        assert_paused();
        tokio::time::sleep(by).await;
        progress();
    }
}

impl Default for PausedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Instant {
        SystemClock.now()
    }

    fn wall(&self) -> SystemTime {
        let midnight = SystemTime::UNIX_EPOCH + Self::MIDNIGHT;
        midnight.checked_add(self.elapsed()).unwrap_or(midnight)
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        SystemClock.sleep_until(at)
    }
}

/// Checks that tokio's time is paused.
///
/// # Panics
/// Panics if it runs: this crate's guarantees about time would not hold.
#[track_caller]
pub(crate) fn assert_paused() {
    assert!(
        is_paused(),
        "time is not paused here: write `#[tokio::test(start_paused = true)]`, or make the call inside \
         `awaitly::testing::simulate`"
    );
}

/// Returns whether tokio's time is paused.
///
/// Tokio does not expose this. A running clock shows a new time as soon as the machine's clock does; a paused clock
/// does not.
fn is_paused() -> bool {
    let before = SystemClock.now();
    let real = Instant::now();
    while real.elapsed().is_zero() {
        std::hint::spin_loop();
    }
    before == SystemClock.now()
}

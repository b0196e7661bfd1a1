use std::time::{Duration, Instant, SystemTime};

use awaitly_core::clock::{Clock, Sleep, SystemClock};
use awaitly_persistence::MemoryStore;

use crate::watched::progress;

/// Tokio's time, with a time of day that goes with it: it was midnight, 1 January 2000, UTC, when this clock was made.
///
/// Where time is paused, everything that lives by it is the same each time: give it to whatever has a clock of its own,
/// such as limiters and breakers.
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
    /// The time of day at which each clock begins.
    pub const MIDNIGHT: Duration = Duration::from_secs(946_684_800);

    /// A clock by which it is midnight.
    #[must_use]
    pub fn new() -> Self {
        Self { made: SystemClock.now() }
    }

    /// How long ago it was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now().saturating_duration_since(self.made)
    }

    /// A store in memory without runs, by whose time it is what it is by this clock: so what the store says of a moment and
    /// what the code under test reads off the clock fit together.
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

    /// Lets time pass, and everything that waits for a moment in it happen.
    ///
    /// # Panics
    /// Where tokio's time is not paused. In a simulation, where that is [longer](crate::Simulation::longest) than one may
    /// take.
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

/// # Panics
/// Where tokio's time is not paused: nothing that this crate promises of time would hold.
#[track_caller]
pub(crate) fn assert_paused() {
    assert!(
        is_paused(),
        "time is not paused here: write `#[tokio::test(start_paused = true)]`, or call it inside of \
         `awaitly::testing::simulate`"
    );
}

/// Tokio does not say it, but a clock that goes shows another time when that of the machine does.
fn is_paused() -> bool {
    let before = SystemClock.now();
    let real = Instant::now();
    while real.elapsed().is_zero() {
        std::hint::spin_loop();
    }
    before == SystemClock.now()
}

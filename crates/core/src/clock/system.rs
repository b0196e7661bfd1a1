use std::time::{Instant, SystemTime};

use super::{Clock, Sleep};

/// The machine's clock. Its waits need a tokio runtime with an enabled timer.
///
/// Under `tokio::time::pause`, [`now`](Clock::now) and the waits follow tokio's paused time; [`wall`](Clock::wall) does not.
///
/// ```
/// use awaitly_core::clock::{Clock, SystemClock, hours};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// // In a runtime with `start_paused = true`, the hour takes no time.
/// let begin = SystemClock.now();
/// SystemClock.sleep_until(begin + hours(1)).await;
/// assert!(SystemClock.now() >= begin + hours(1));
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// # Panics
    /// Panics outside of a tokio runtime with an enabled timer.
    fn sleep_until(&self, at: Instant) -> Sleep {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

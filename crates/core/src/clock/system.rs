use std::time::{Instant, SystemTime};

use super::{Clock, Sleep};

/// The machine's clock. Waits need a tokio runtime with its timer enabled.
///
/// Under `tokio::time::pause` it follows tokio's paused time, but for [`wall`](Clock::wall).
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
    /// Outside of a tokio runtime with its timer enabled.
    fn sleep_until(&self, at: Instant) -> Sleep {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

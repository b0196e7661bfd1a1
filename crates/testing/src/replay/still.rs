use std::future::{pending, ready};
use std::time::{Instant, SystemTime};

use awaitly_core::clock::{Clock, Sleep, SystemClock};
use awaitly_core::journal::Timestamp;

/// A clock that stands still: past moments have passed, and later ones never come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Still {
    now: Instant,
    wall: SystemTime,
}

impl Still {
    pub(super) fn at(moment: Timestamp) -> Self {
        Self { now: SystemClock.now(), wall: moment.into() }
    }
}

impl Clock for Still {
    fn now(&self) -> Instant {
        self.now
    }

    fn wall(&self) -> SystemTime {
        self.wall
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        if at <= self.now { Box::pin(ready(())) } else { Box::pin(pending()) }
    }
}

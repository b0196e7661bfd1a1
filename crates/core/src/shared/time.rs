use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lock::lock;
use crate::clock::{Clock, later};
use crate::journal::Timestamp;

/// The clock and the limits of time of an execution.
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    began: Instant,
    deadline: Option<(Instant, Duration)>,
    park_after: Option<Duration>,
    /// The last known time of the store's clock. `None` if recorded moments come from `clock`.
    store: Option<Mutex<(Instant, Timestamp)>>,
}

impl Time {
    /// Creates the time. `now` is the time of the store's clock, if recorded moments come from that clock.
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        deadline: Option<Duration>,
        park_after: Option<Duration>,
        now: Option<Timestamp>,
    ) -> Self {
        let began = clock.now();
        let deadline = deadline.map(|after| (later(began, after), after));
        Self { clock, began, deadline, park_after, store: now.map(|now| Mutex::new((began, now))) }
    }

    #[inline]
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Returns the time since the execution began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.began)
    }

    /// Returns the moment at which the run's time is over, and the length of that time.
    pub(crate) const fn deadline(&self) -> Option<(Instant, Duration)> {
        self.deadline
    }

    /// Returns the length of the run's time, if it is over.
    pub(crate) fn over(&self) -> Option<Duration> {
        let (at, after) = self.deadline?;
        (self.clock.now() >= at).then_some(after)
    }

    /// Returns whether a sleep of `delay` parks the run instead of keeping its task.
    pub(crate) fn parks(&self, delay: Duration) -> bool {
        self.park_after.is_some_and(|longest| delay > longest)
    }

    /// Returns the time of day for recorded moments. It is the time of the store's clock, which the run advances with
    /// its own clock. Without a store, or if the workflow has a clock, it is the time of the run's clock.
    pub(crate) fn stamp(&self) -> Timestamp {
        match &self.store {
            None => Timestamp::from(self.clock.wall()),
            Some(store) => {
                let (at, then) = *lock(store);
                then.after(self.clock.now().saturating_duration_since(at))
            }
        }
    }

    /// Adopts the time of the store's clock.
    pub(super) fn synchronize(&self, now: Timestamp) {
        if let Some(store) = &self.store {
            *lock(store) = (self.clock.now(), now);
        }
    }
}

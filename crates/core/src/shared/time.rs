use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lock::lock;
use crate::clock::{Clock, later};
use crate::journal::Timestamp;

/// The time that an execution lives by.
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    began: Instant,
    deadline: Option<(Instant, Duration)>,
    park_after: Option<Duration>,
    /// What the store's clock showed when it was asked last. `None`: recorded moments are read off `clock`.
    store: Option<Mutex<(Instant, Timestamp)>>,
}

impl Time {
    /// `now`: the time by the store's clock, if recorded moments are read off that.
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

    /// Returns the moment at which the run's time is over, and how long that was.
    pub(crate) const fn deadline(&self) -> Option<(Instant, Duration)> {
        self.deadline
    }

    /// Returns how much time the run had, if that is over.
    pub(crate) fn over(&self) -> Option<Duration> {
        let (at, after) = self.deadline?;
        (self.clock.now() >= at).then_some(after)
    }

    /// Returns whether a run does not sleep for `delay` in its task, but waits without one.
    pub(crate) fn parks(&self, delay: Duration) -> bool {
        self.park_after.is_some_and(|longest| delay > longest)
    }

    /// Returns the time of day for moments that are recorded: by the store's clock, which the run carries forward by its
    /// own. Without a store, or if the workflow was given a clock, by the clock of the run.
    pub(crate) fn stamp(&self) -> Timestamp {
        match &self.store {
            None => Timestamp::from(self.clock.wall()),
            Some(store) => {
                let (at, then) = *lock(store);
                then.after(self.clock.now().saturating_duration_since(at))
            }
        }
    }

    /// Takes over what the store's clock shows.
    pub(super) fn synchronize(&self, now: Timestamp) {
        if let Some(store) = &self.store {
            *lock(store) = (self.clock.now(), now);
        }
    }
}

use std::time::Duration;

use super::condition::{Condition, Timeline};
use super::weather::{Weather, between};
use crate::seed::dice;

/// A service, as its network tracks it.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) timeline: Timeline,
    pub(super) weather: Option<Weather>,
    pub(super) calls: u32,
    pub(super) failures: u64,
}

/// The course of a call to a service.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Through { delay: Duration, lose_answer: bool },
    Refused,
    Vanished,
}

impl Line {
    pub(super) fn heal(&mut self) {
        self.timeline = Timeline::default();
        self.weather = None;
    }

    /// Returns the current condition: the one that the test set, or [`Condition::Down`] if the test left the service
    /// up and the weather is foul.
    pub(super) fn condition(&mut self, now: Duration) -> Condition {
        let foul = self.weather.as_mut().is_some_and(|weather| weather.is_foul(now));
        match self.timeline.at(now) {
            Condition::Up if foul => Condition::Down,
            condition => condition,
        }
    }

    /// Counts a call and decides its course.
    pub(super) fn go(&mut self, now: Duration, seed: u64, name: &str) -> Fate {
        self.calls += 1;
        let mut random = dice(seed, name, self.calls);
        let through = |delay, lose_answer| Fate::Through { delay, lose_answer };
        match self.condition(now) {
            Condition::Up => through(Duration::ZERO, false),
            Condition::Down => Fate::Refused,
            Condition::Cut => Fate::Vanished,
            Condition::Slow { least, most } => through(between(&mut random, &(least..=most)), false),
            Condition::Flaky { refuse, .. } if random.f64() < refuse => Fate::Refused,
            Condition::Flaky { lose_answer, .. } => through(Duration::ZERO, random.f64() < lose_answer),
        }
    }
}

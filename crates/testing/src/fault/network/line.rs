use std::time::Duration;

use super::super::draw::draw;
use super::state::{State, Timeline};
use super::weather::{Weather, between};

/// The state of a service, as its network tracks it.
#[derive(Debug, Default)]
pub(super) struct Line {
    timeline: Timeline,
    weather: Option<Weather>,
    calls: u64,
    failures: u64,
}

/// The course of a call to a service.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Through { delay: Duration, lose_answer: bool },
    Refused,
    Vanished,
}

impl Line {
    pub(super) fn new(weather: Option<Weather>) -> Self {
        Self { weather, ..Self::default() }
    }

    pub(super) fn under(&mut self, weather: Weather) {
        self.weather = Some(weather);
    }

    pub(super) fn set(&mut self, from: Duration, state: State) {
        self.timeline.set(from, state);
    }

    pub(super) fn set_between(&mut self, from: Duration, to: Duration, state: State) {
        self.timeline.set_between(from, to, state);
    }

    pub(super) const fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) const fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn failed(&mut self) {
        self.failures += 1;
    }

    pub(super) fn heal(&mut self) {
        self.timeline = Timeline::default();
        self.weather = None;
    }

    /// Returns the current state: the state that the test set, or [`State::Down`] if the test left the service up and
    /// the weather is foul.
    pub(super) fn state(&mut self, now: Duration) -> State {
        let foul = self.weather.as_mut().is_some_and(|weather| weather.is_foul(now));
        match self.timeline.at(now) {
            State::Up if foul => State::Down,
            state => state,
        }
    }

    /// Counts a call and decides its course.
    pub(super) fn go(&mut self, now: Duration, seed: u64, name: &str) -> Fate {
        self.calls += 1;
        let mut random = draw(seed, &[name], self.calls);
        let through = |delay, lose_answer| Fate::Through { delay, lose_answer };
        match self.state(now) {
            State::Up => through(Duration::ZERO, false),
            State::Down => Fate::Refused,
            State::Cut => Fate::Vanished,
            State::Slow { least, most } => through(between(&mut random, &(least..=most)), false),
            State::Flaky { refuse, .. } if random.f64() < refuse => Fate::Refused,
            State::Flaky { lose_answer, .. } => through(Duration::ZERO, random.f64() < lose_answer),
        }
    }
}

use std::time::Duration;

use super::super::draw::assert_chance;

/// The state of a simulated service.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// Every call gets through.
    #[default]
    Up,
    /// Every call is refused immediately. A call that is in progress when the service goes down loses its answer.
    Down,
    /// Calls get no response: a call waits for [`Network::PATIENCE`](super::Network::PATIENCE) and then fails. A call
    /// in progress loses its answer after that wait, too.
    Cut,
    /// Every call gets through, but takes longer to reach the service.
    Slow {
        /// The minimum delay.
        least: Duration,
        /// The maximum delay.
        most: Duration,
    },
    /// Some calls get through.
    Flaky {
        /// The probability that a call is refused.
        refuse: f64,
        /// The probability that the answer of an accepted call is lost.
        lose_answer: f64,
    },
}

impl State {
    #[track_caller]
    pub(super) fn check(self) -> Self {
        if let Self::Flaky { refuse, lose_answer } = self {
            assert_chance(refuse);
            assert_chance(lose_answer);
        }
        self
    }
}

/// The states of a service over time. Moments count from the creation of the network.
#[derive(Debug, Default)]
pub(super) struct Timeline(Vec<(Duration, State)>);

impl Timeline {
    pub(super) fn at(&self, moment: Duration) -> State {
        let begun = self.0.iter().take_while(|(from, _)| *from <= moment);
        begun.last().map(|(_, state)| *state).unwrap_or_default()
    }

    /// Begins a state at `from`. States set for later moments stay.
    pub(super) fn set(&mut self, from: Duration, state: State) {
        let place = self.0.partition_point(|(other, _)| *other <= from);
        self.0.insert(place, (from, state));
    }

    /// Sets a state for an interval. The state after `to` stays as it was.
    pub(super) fn set_between(&mut self, from: Duration, to: Duration, state: State) {
        let after = self.at(to);
        self.0.retain(|(other, _)| *other <= from || *other > to);
        self.set(from, state);
        self.set(to, after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn state_lasts_until_the_next_begins() {
        let mut timeline = Timeline::default();
        timeline.set(secs(20), State::Cut);
        timeline.set(secs(10), State::Down);
        let found = [0, 9, 10, 19, 20, 99].map(|n| timeline.at(secs(n)));
        assert_eq!(found, [State::Up, State::Up, State::Down, State::Down, State::Cut, State::Cut]);
    }

    #[test]
    fn last_state_set_for_a_moment_holds() {
        let mut timeline = Timeline::default();
        timeline.set(secs(10), State::Down);
        timeline.set(secs(10), State::Cut);
        assert_eq!(timeline.at(secs(10)), State::Cut);
    }

    #[test]
    fn earlier_states_apply_after_an_interval() {
        let mut timeline = Timeline::default();
        timeline.set(secs(15), State::Cut);
        timeline.set_between(secs(10), secs(20), State::Down);
        timeline.set_between(secs(12), secs(14), State::Up);
        let found = [9, 10, 12, 14, 16, 20].map(|n| timeline.at(secs(n)));
        assert_eq!(found, [State::Up, State::Down, State::Up, State::Down, State::Down, State::Cut]);
    }
}

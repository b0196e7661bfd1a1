use std::time::Duration;

use super::super::draw::assert_chance;

/// How a service does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// Every call gets through.
    #[default]
    Up,
    /// Every call is refused at once. A call that was under way when the service went down loses its answer.
    Down,
    /// Nothing gets through, and nobody says so: a call waits for [`Network::PATIENCE`](super::Network::PATIENCE), and
    /// then gives up. A call that was under way loses its answer in the same way.
    Cut,
    /// A call gets through, but takes longer on its way there.
    Slow {
        /// By this much at least.
        least: Duration,
        /// By this much at most.
        most: Duration,
    },
    /// Some calls get through.
    Flaky {
        /// The chance that a call is refused.
        refuse: f64,
        /// The chance that the answer is lost of a call that was not.
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

/// What state a service is in from when on. Moments count from when the network was made.
#[derive(Debug, Default)]
pub(super) struct Timeline(Vec<(Duration, State)>);

impl Timeline {
    pub(super) fn at(&self, moment: Duration) -> State {
        let begun = self.0.iter().take_while(|(from, _)| *from <= moment);
        begun.last().map(|(_, state)| *state).unwrap_or_default()
    }

    /// What was said before of a later moment still holds then.
    pub(super) fn set(&mut self, from: Duration, state: State) {
        let place = self.0.partition_point(|(other, _)| *other <= from);
        self.0.insert(place, (from, state));
    }

    /// From `to` on, it is as if this had not been said.
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
    fn a_state_lasts_until_the_next_one_begins() {
        let mut timeline = Timeline::default();
        timeline.set(secs(20), State::Cut);
        timeline.set(secs(10), State::Down);
        let found = [0, 9, 10, 19, 20, 99].map(|n| timeline.at(secs(n)));
        assert_eq!(found, [State::Up, State::Up, State::Down, State::Down, State::Cut, State::Cut]);
    }

    #[test]
    fn what_was_said_last_of_a_moment_holds() {
        let mut timeline = Timeline::default();
        timeline.set(secs(10), State::Down);
        timeline.set(secs(10), State::Cut);
        assert_eq!(timeline.at(secs(10)), State::Cut);
    }

    #[test]
    fn after_a_while_it_is_as_it_would_have_been() {
        let mut timeline = Timeline::default();
        timeline.set(secs(15), State::Cut);
        timeline.set_between(secs(10), secs(20), State::Down);
        timeline.set_between(secs(12), secs(14), State::Up);
        let found = [9, 10, 12, 14, 16, 20].map(|n| timeline.at(secs(n)));
        assert_eq!(found, [State::Up, State::Down, State::Up, State::Down, State::Down, State::Cut]);
    }
}

use std::time::Duration;

use super::super::assert_chance;

/// The condition of a simulated service.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// Every call gets through.
    #[default]
    Up,
    /// Every call is refused immediately. A call that is in progress loses its answer if the service is down when the
    /// operation of the call ends.
    Down,
    /// Calls get no response: a call waits for [`Network::PATIENCE`](super::Network::PATIENCE) and then fails. If the
    /// service is cut off when the operation of a call ends, this call waits for the same time and loses its answer.
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

impl Condition {
    #[track_caller]
    pub(super) fn check(self) -> Self {
        if let Self::Flaky { refuse, lose_answer } = self {
            assert_chance(refuse);
            assert_chance(lose_answer);
        }
        self
    }
}

/// The conditions of a service over time. Moments count from the creation of the network.
#[derive(Debug, Default)]
pub(super) struct Timeline(Vec<(Duration, Condition)>);

impl Timeline {
    pub(super) fn at(&self, moment: Duration) -> Condition {
        let begun = self.0.iter().take_while(|(from, _)| *from <= moment);
        begun.last().map(|(_, condition)| *condition).unwrap_or_default()
    }

    /// Begins a condition at `from`. Conditions set for later moments stay.
    pub(super) fn set(&mut self, from: Duration, condition: Condition) {
        let place = self.0.partition_point(|(other, _)| *other <= from);
        self.0.insert(place, (from, condition));
    }

    /// Sets a condition for an interval. The condition after `to` stays as it was.
    pub(super) fn set_between(&mut self, from: Duration, to: Duration, condition: Condition) {
        let after = self.at(to);
        self.0.retain(|(other, _)| *other <= from || *other > to);
        self.set(from, condition);
        self.set(to, after);
    }
}

#[cfg(test)]
mod tests {
    use super::Condition::{Cut, Down, Up};
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn condition_lasts_until_the_next_begins() {
        let mut timeline = Timeline::default();
        timeline.set(secs(20), Cut);
        timeline.set(secs(10), Down);
        let found = [0, 9, 10, 19, 20, 99].map(|n| timeline.at(secs(n)));
        assert_eq!(found, [Up, Up, Down, Down, Cut, Cut]);
    }

    #[test]
    fn last_condition_set_for_a_moment_holds() {
        let mut timeline = Timeline::default();
        timeline.set(secs(10), Down);
        timeline.set(secs(10), Cut);
        assert_eq!(timeline.at(secs(10)), Cut);
    }

    #[test]
    fn earlier_conditions_apply_after_an_interval() {
        let mut timeline = Timeline::default();
        timeline.set(secs(15), Cut);
        timeline.set_between(secs(10), secs(20), Down);
        timeline.set_between(secs(12), secs(14), Up);
        let found = [9, 10, 12, 14, 16, 20].map(|n| timeline.at(secs(n)));
        assert_eq!(found, [Up, Down, Up, Down, Down, Cut]);
    }
}

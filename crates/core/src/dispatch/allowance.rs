use std::collections::HashMap;
use std::sync::Arc;

use super::Queue;
use crate::journal::Timestamp;

/// The number of runs of a queue that may start now.
///
/// A claim creates the allowance from the settings of the queue and from the leases that are live now, so no counter
/// can drift. Then it calls [`admit`](Self::admit) for the runs in the order of their ranks.
///
/// ```
/// use awaitly_core::dispatch::{Allowance, Pace, Queue, Rate};
/// use awaitly_core::journal::Timestamp;
///
/// let mails = Queue::new("mails").rate(Rate::per_second(2));
/// let now = Timestamp::from_millis(0);
/// let mut allowance = Allowance::new(&mails, Pace::default(), now, []);
/// assert!(allowance.admit(None));
/// assert!(!allowance.admit(None)); // the starts are spread over the second
/// assert_eq!(allowance.opens_at(), Some(Timestamp::from_millis(500)));
/// ```
#[derive(Debug, Clone)]
pub struct Allowance {
    /// The number of runs that may start, if their keys permit it.
    left: u32,
    per_key: Option<u32>,
    running: HashMap<Arc<str>, u32>,
    pace: Pace,
    rate: Option<Starts>,
}

/// The starts that a rate permits.
#[derive(Debug, Clone, Copy)]
struct Starts {
    /// The number of runs that may start now.
    left: u32,
    /// The number of runs that may start at once if no run has started recently.
    burst: u32,
    /// The time between two starts, in microseconds.
    interval: u64,
}

/// The state of a queue's rate, which the store keeps with the queue: the generic cell rate algorithm (ITU-T I.371),
/// by the store's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// The theoretical arrival time of the next run, in microseconds since 1970. A run that starts later than this time
    /// is on time.
    pub arrival: u64,
}

impl Allowance {
    /// Creates the allowance of `queue` at `now`. `running` holds the number of live leases of each key; the empty key
    /// stands for runs without a key.
    #[must_use]
    pub fn new(
        queue: &Queue,
        pace: Pace,
        now: Timestamp,
        running: impl IntoIterator<Item = (Arc<str>, u32)>,
    ) -> Self {
        let mut total = 0_u32;
        let running: HashMap<_, _> =
            running.into_iter().inspect(|(_, runs)| total = total.saturating_add(*runs)).collect();
        let free = queue.concurrency.map_or(u32::MAX, |most| most.saturating_sub(total));
        let now = now.as_millis().saturating_mul(1000);
        let arrival = pace.arrival.max(now);
        let rate = queue.rate.map(|rate| {
            let (burst, interval) = (rate.burst(), rate.interval());
            let used = u32::try_from((arrival - now).div_ceil(interval)).unwrap_or(u32::MAX);
            Starts { left: burst.saturating_sub(used), burst, interval }
        });
        let left = rate.map_or(free, |starts| free.min(starts.left));
        Self { left, per_key: queue.per_key, running, pace: Pace { arrival }, rate }
    }

    /// Returns the number of runs that may start, if their keys permit it.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// Returns the number of runs with this key that the limit per key permits to start.
    #[must_use]
    pub fn left_for(&self, key: Option<&str>) -> u32 {
        match (self.per_key, key.filter(|key| !key.is_empty())) {
            (Some(most), Some(key)) => most.saturating_sub(self.running.get(key).copied().unwrap_or(0)),
            _ => u32::MAX,
        }
    }

    /// Counts a run with this key as started, and returns `true`. Returns `false` if the run may not start.
    pub fn admit(&mut self, key: Option<&str>) -> bool {
        if self.left == 0 || self.left_for(key) == 0 {
            return false;
        }
        self.left -= 1;
        if let (Some(_), Some(key)) = (self.per_key, key) {
            *self.running.entry(key.into()).or_default() += 1;
        }
        if let Some(starts) = &mut self.rate {
            starts.left -= 1;
            self.pace.arrival = self.pace.arrival.saturating_add(starts.interval);
        }
        true
    }

    /// Returns the new state of the rate.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    /// Returns the time at which the rate permits the next start, if the rate permits none now. The end of a run does
    /// not change this time.
    #[must_use]
    pub fn opens_at(&self) -> Option<Timestamp> {
        let Starts { left, burst, interval } = self.rate?;
        let tolerance = interval.saturating_mul(u64::from(burst - 1));
        (left == 0)
            .then(|| Timestamp::from_millis(self.pace.arrival.saturating_sub(tolerance).div_ceil(1000)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dispatch::Rate;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn concurrency_counts_all_keys_and_per_key_counts_one() {
        let queue = Queue::new("orders").concurrency(5).per_key(2);
        let running = [("ann".into(), 2), ("bob".into(), 1), ("".into(), 1)];
        let mut allowance = Allowance::new(&queue, Pace::default(), at(0), running);
        assert_eq!(allowance.left(), 1);
        assert!(!allowance.admit(Some("ann")), "two of her runs are running");
        assert_eq!((allowance.left_for(Some("bob")), allowance.left_for(None)), (1, u32::MAX));
        assert!(allowance.admit(None));
        assert!(!allowance.admit(Some("bob")), "the queue is full");
    }

    #[test]
    fn lowered_limit_admits_no_run_until_enough_have_ended() {
        let queue = Queue::new("orders").concurrency(2);
        let allowance = |running| Allowance::new(&queue, Pace::default(), at(0), [("".into(), running)]);
        assert_eq!((allowance(7).left(), allowance(1).left()), (0, 1));
    }

    /// Starts runs as early as the rate permits, and checks each window of one period.
    #[test]
    fn no_window_of_a_period_contains_more_starts_than_the_rate() {
        for (runs, period) in [(1, 1000), (2, 1000), (19, 1000), (20, 60_000), (100, 1000), (5000, 1000)] {
            let rate = Rate::new(runs, Duration::from_millis(period));
            let queue = Queue::new("mails").rate(rate);
            let (mut pace, mut starts, end) = (Pace::default(), Vec::new(), 1_000_000 + 3 * period);
            for now in 1_000_000..end {
                let mut allowance = Allowance::new(&queue, pace, at(now), []);
                while allowance.admit(None) {
                    starts.push(now);
                }
                pace = allowance.pace();
                let next = allowance.opens_at().expect("the rate is used up");
                assert!(next > at(now), "{runs}: {next:?} is not after {now}");
            }
            let most = starts
                .iter()
                .map(|start| starts.iter().filter(|one| (*start..start + period).contains(one)).count());
            assert!(most.max() <= Some(runs as usize), "{runs} per {period}");
            let allowed = 3 * u64::from(runs);
            assert!(starts.len() as u64 * 10 >= allowed * 9, "{runs}: {} of {allowed}", starts.len());
        }
    }
}

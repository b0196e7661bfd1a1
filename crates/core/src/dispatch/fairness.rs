use super::Place;

/// The state of one key of a fair queue, from which its next runs get their ranks.
///
/// The ranks follow start-time fair queueing (Goyal, Vin and Cheng, 1996), in which each run costs one turn. The
/// virtual time of a queue is the rank of the run that started last. The first run of a key without queued runs ranks
/// at the virtual time. Each further run ranks one turn after the previous run of its key. Therefore the first run of a
/// key does not wait for the many runs of another key.
///
/// ```
/// use awaitly_core::dispatch::{Fairness, Place};
/// use awaitly_core::journal::Timestamp;
///
/// let now = Timestamp::from_millis(0);
/// let place = |key: &str| Place::new("orders", Some(key.into()), 0, now);
/// let (mut ann, mut bob) = (Fairness::new(7, None), Fairness::new(7, None));
/// assert_eq!(ann.rank(place("ann")).rank, 7);
/// assert_eq!(ann.rank(place("ann")).rank, 8);
/// assert_eq!(bob.rank(place("bob")).rank, 7); // before the second run of ann
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fairness {
    next: i64,
}

impl Fairness {
    /// Creates the state of a key. `virtual_time` is the rank of the run that started last in the queue. `next` is the
    /// value of [`next`](Self::next) that the store keeps for the key, if there is one.
    #[must_use]
    pub fn new(virtual_time: i64, next: Option<i64>) -> Self {
        Self { next: next.map_or(virtual_time, |next| next.max(virtual_time)) }
    }

    /// Sets the rank of the key's next run.
    #[must_use]
    pub fn rank(&mut self, place: Place) -> Place {
        let rank = self.next.saturating_sub(i64::from(place.priority));
        self.next = self.next.saturating_add(1);
        Place { rank, ..place }
    }

    /// Returns the rank of the key's next run with priority 0. A store keeps this number until the virtual time reaches
    /// it.
    #[must_use]
    pub const fn next(self) -> i64 {
        self.next
    }
}

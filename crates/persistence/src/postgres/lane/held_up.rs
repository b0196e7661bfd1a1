//! Leases whose release was delayed.

use std::collections::HashSet;
use std::time::Duration;

use awaitly_core::store::Lease;
use tokio::time::Instant;

use super::place::{Place, place};

/// The time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// The time after which attempts stop. Few leases last longer.
const LONGEST: Duration = Duration::from_secs(600);

/// Leases that could not be released because another session has locked their rows or the whole table, or because the
/// server was away for too long. The lane tries again each second, beside its other work.
#[derive(Debug, Default)]
pub(in crate::postgres) struct HeldUp {
    leases: Vec<(Lease, Instant)>,
    next: Option<Instant>,
}

impl HeldUp {
    pub(super) fn add(&mut self, leases: Vec<Lease>) {
        let now = Instant::now();
        self.leases.extend(leases.into_iter().map(|lease| (lease, now + LONGEST)));
        self.next.get_or_insert(now + PAUSE);
    }

    /// Returns the time of the next attempt, or `None` if no lease is left.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn leases(&self) -> Vec<Lease> {
        self.leases.iter().map(|(lease, _)| lease.clone()).collect()
    }

    /// Removes the leases that need no further attempt, because they are free or too old. `rest` is the set of leases
    /// that the last attempt left, or `None` if the attempt failed.
    pub(super) fn settle(&mut self, rest: Option<&HashSet<Place>>) -> Vec<Lease> {
        let now = Instant::now();
        let is_done = |(lease, until): &mut (Lease, Instant)| {
            let is_free = rest.is_some_and(|rest| !rest.contains(&place(lease)));
            is_free || now >= *until
        };
        let done = self.leases.extract_if(.., is_done).map(|(lease, _)| lease).collect();
        self.next = (!self.leases.is_empty()).then(|| now + PAUSE);
        done
    }
}

#[cfg(test)]
mod tests {
    use awaitly_core::store::RunId;

    use super::*;

    fn lease(slot: i64) -> Lease {
        Lease::new(RunId::new("r").unwrap(), 7, slot)
    }

    #[tokio::test(start_paused = true)]
    async fn leases_stay_until_they_are_free_or_too_old() {
        let mut held_up = HeldUp::default();
        assert_eq!(held_up.next(), None);
        held_up.add(vec![lease(1), lease(2)]);
        assert_eq!(held_up.next(), Some(Instant::now() + PAUSE));
        assert!(held_up.settle(None).is_empty());
        assert_eq!(held_up.settle(Some(&HashSet::from([place(&lease(2))]))), [lease(1)]);
        tokio::time::advance(LONGEST).await;
        assert_eq!(held_up.settle(None), [lease(2)]);
        assert_eq!(held_up.next(), None);
    }
}

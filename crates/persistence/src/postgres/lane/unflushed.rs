//! Acknowledged records that may not be on the disk yet.
//!
//! A [`Durability::Batched`] record is committed with `synchronous_commit=off`: the server answers before the commit is on its
//! disk. If the server crashes within the next moments, it starts again without the newest such commits, although it has
//! acknowledged them, and nothing tells a client so: the client sees a lost connection, as after a fault of the network. The
//! body of the run has continued after those steps. If its next record were written now, the journal would have a gap, and a
//! resumed run would carry out the lost step again, *after* later steps that relied on it.
//!
//! So the store never writes behind a possible gap. It remembers the leases under which such records were written, until a
//! commit that waits for the disk succeeds: the server flushes its log in order, so this commit has also flushed all earlier
//! ones. If the connection is lost before that, the lane releases these leases before it writes any record on its next
//! connection. Their runs get `StoreError::LeaseLost`, and resume from the records that the server still has, which are always
//! the first ones of the journal. If the server has not crashed, this costs each run one interruption, and no record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::store::{Durability, Lease};
use tokio::time::Instant;

use super::calls::RefusedAppends;
use super::ops::Append;
use super::place::{Place, place};

/// The leases under which [`Durability::Batched`] records were written that no later commit has flushed to the disk.
///
/// Writes that are not records take another connection, for which the order of commits gives no guarantee, so they wait until
/// the earlier records are on the disk.
#[derive(Debug, Clone, Default)]
pub(in crate::postgres) struct Unflushed(Arc<Mutex<Leases>>);

#[derive(Debug)]
struct Leases {
    unflushed: HashMap<Place, (Lease, Instant)>,
    /// The leases that must be released.
    doubtful: Vec<Lease>,
    /// The number of leases from which the store looks for leases whose records are on the disk by now.
    many: usize,
}

/// The time after which the server has flushed everything by itself: three times the longest `wal_writer_delay`,
/// doubled.
const LONGEST: Duration = Duration::from_secs(60);

const MANY: usize = 1024;

impl Unflushed {
    /// Notes appends that were committed together, except the refused ones.
    pub(super) fn note(&self, appends: &[Append], refused: &RefusedAppends) {
        let written =
            || appends.iter().enumerate().filter(|(at, _)| !refused.contains_key(at)).map(|(_, one)| one);
        if written().any(|one| one.durability == Durability::Sync) {
            return self.are_flushed();
        }
        let (mut leases, now) = (self.lock(), Instant::now());
        leases.unflushed.extend(written().map(|one| (place(&one.lease), (one.lease.clone(), now))));
        if leases.unflushed.len() > leases.many {
            leases.unflushed.retain(|_, (_, at)| now.duration_since(*at) < LONGEST);
            leases.many = MANY.max(2 * leases.unflushed.len());
        }
    }

    /// Forgets all leases, because a commit that waits for the disk also flushes all earlier commits.
    pub(super) fn are_flushed(&self) {
        let mut leases = self.lock();
        leases.unflushed.clear();
        leases.many = MANY;
    }

    /// Marks recent leases as doubtful, because the connection was lost and the server may have crashed.
    pub(super) fn are_in_doubt(&self) {
        let (mut leases, now) = (self.lock(), Instant::now());
        let Leases { unflushed, doubtful, .. } = &mut *leases;
        let recent = unflushed.drain().filter(|(_, (_, at))| now.duration_since(*at) < LONGEST);
        doubtful.extend(recent.map(|(_, (lease, _))| lease));
    }

    /// Returns the leases that must be released.
    pub(super) fn doubtful(&self) -> Vec<Lease> {
        self.lock().doubtful.clone()
    }

    pub(super) fn are_given_back(&self) {
        self.lock().doubtful.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        let leases = self.lock();
        leases.unflushed.is_empty() && leases.doubtful.is_empty()
    }

    /// Returns `true` if the lease has such records.
    pub(in crate::postgres) fn concern(&self, lease: &Lease) -> bool {
        let leases = self.lock();
        leases.unflushed.contains_key(&place(lease)) || leases.doubtful.contains(lease)
    }

    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self { unflushed: HashMap::new(), doubtful: Vec::new(), many: MANY }
    }
}

#[cfg(test)]
mod tests {
    use awaitly_core::journal::{Outcome, Payload, Record};
    use awaitly_core::store::{RunId, StoreError};
    use tokio::sync::oneshot;

    use super::*;
    use crate::postgres::patience::Patience;

    fn lease(slot: i64) -> Lease {
        Lease::new(RunId::new("r").unwrap(), 7, slot)
    }

    fn append(slot: i64, durability: Durability) -> Append {
        let outcome = Outcome::Value(Payload::from_stored("1"));
        let record = Record { key: "charge".into(), outcome, input: None };
        let patience = Patience::new(LONGEST);
        Append { lease: lease(slot), record, durability, patience, fate: oneshot::channel().0 }
    }

    #[tokio::test(start_paused = true)]
    async fn only_unflushed_appends_are_in_doubt() {
        let unflushed = Unflushed::default();
        let none = RefusedAppends::new();
        unflushed.note(&[append(1, Durability::Batched)], &none);
        tokio::time::advance(LONGEST).await;
        unflushed.note(&[append(2, Durability::Batched)], &none);
        unflushed.are_in_doubt();
        assert_eq!(unflushed.doubtful(), [lease(2)], "the first is on the disk by now");
        assert!(unflushed.concern(&lease(2)) && !unflushed.concern(&lease(1)));
        unflushed.are_given_back();
        assert!(unflushed.is_empty());
    }

    #[tokio::test]
    async fn sync_commit_flushes_earlier_appends_unless_refused() {
        let unflushed = Unflushed::default();
        let none = RefusedAppends::new();
        unflushed.note(&[append(1, Durability::Batched)], &none);
        let refused = RefusedAppends::from([(0, StoreError::Closed)]);
        unflushed.note(&[append(2, Durability::Sync)], &refused);
        assert!(unflushed.concern(&lease(1)));
        unflushed.note(&[append(2, Durability::Sync)], &none);
        assert!(unflushed.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn long_flushed_appends_are_forgotten() {
        let (unflushed, none) = (Unflushed::default(), RefusedAppends::new());
        for slot in 0..5000 {
            unflushed.note(&[append(slot, Durability::Batched)], &none);
            tokio::time::advance(LONGEST / 100).await;
        }
        assert!(unflushed.lock().unflushed.len() <= MANY + 1);
    }
}

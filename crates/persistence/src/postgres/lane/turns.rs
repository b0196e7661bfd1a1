//! Leases on their way back to the lane that maintains them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::store::{Lease, StoreError};

use super::ops::{Flush, Op, Release};
use super::place::{Place, place};
use crate::group::Sender;
use crate::postgres::patience::Patience;
use crate::unclaimed::Back;

/// Leases that were released and may not be free yet.
#[derive(Debug, Clone, Default)]
pub(in crate::postgres) struct Releasing(Arc<Mutex<Returning>>);

#[derive(Debug, Default)]
struct Returning {
    on_their_way: HashSet<Place>,
    /// The leases whose release a lock or an outage delays.
    held_up: HashSet<Place>,
}

impl Releasing {
    pub(super) fn are_free(&self, leases: &[Lease]) {
        let mut returning = self.lock();
        for place in leases.iter().map(place) {
            returning.on_their_way.remove(&place);
            returning.held_up.remove(&place);
        }
    }

    pub(super) fn are_held_up(&self, leases: &[Lease]) {
        let mut returning = self.lock();
        for place in leases.iter().map(place) {
            returning.on_their_way.remove(&place);
            returning.held_up.insert(place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Returning> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue of the lane that maintains leases.
#[derive(Debug)]
pub(in crate::postgres) struct Turns {
    pub(in crate::postgres) ops: Sender<Op>,
    pub(in crate::postgres) patience: Duration,
    /// A release does not wait until the lease is free. The next call waits for it instead, unless the release is
    /// delayed by a lock or an outage.
    pub(in crate::postgres) releasing: Releasing,
}

impl Back for Turns {
    fn release(&self, lease: Lease) {
        let place = place(&lease);
        self.releasing.lock().on_their_way.insert(place);
        if !self.ops.send(Op::Release(Release { lease, patience: Patience::new(self.patience) })) {
            // The lane has ended, so the lease lasts until it expires.
            self.releasing.lock().on_their_way.remove(&place);
        }
    }
}

impl Turns {
    /// Returns `true` if the lease was released, even if the release has not reached the server yet.
    pub(in crate::postgres) fn gives_back(&self, lease: &Lease) -> bool {
        let (place, returning) = (place(lease), self.releasing.lock());
        returning.on_their_way.contains(&place) || returning.held_up.contains(&place)
    }

    /// Waits until every released lease is free, or its release is delayed by a lock or an outage.
    pub(in crate::postgres) async fn settled(&self, patience: Patience) -> Result<(), StoreError> {
        if self.releasing.lock().on_their_way.is_empty() {
            return Ok(());
        }
        self.ops.ask(|fate| Op::Flush(Flush { patience, fate })).await
    }
}

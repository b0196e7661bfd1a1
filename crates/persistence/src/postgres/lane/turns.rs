//! Leases on their way from a lane to who asked for them, and back.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::store::{Lease, StoreError};

use super::calls::{Place, place};
use super::ops::{Flush, Op, Release};
use crate::group::Sender;
use crate::postgres::patience::Patience;

/// A lease on its way to who asked for it. Where that future is dropped before the lease has arrived, the lease
/// is given back, wherever it is then.
#[derive(Debug)]
pub(in crate::postgres) struct Unclaimed(Option<(Lease, Turns)>);

impl Unclaimed {
    pub(in crate::postgres) const fn new(lease: Lease, back: Turns) -> Self {
        Self(Some((lease, back)))
    }

    /// The lease, to be given back by who has it now.
    pub(in crate::postgres) fn claim(mut self) -> Option<Lease> {
        self.0.take().map(|(lease, _)| lease)
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some((lease, back)) = self.0.take() {
            back.release(lease);
        }
    }
}

/// Leases that were given back and may not be free yet.
#[derive(Debug, Clone, Default)]
pub(in crate::postgres) struct Releasing(Arc<Mutex<Returning>>);

#[derive(Debug, Default)]
struct Returning {
    on_their_way: HashSet<Place>,
    /// Those that a lock or an outage keeps from their return.
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

/// The way to the lane that keeps leases.
#[derive(Debug, Clone)]
pub(in crate::postgres) struct Turns {
    pub(in crate::postgres) ops: Sender<Op>,
    pub(in crate::postgres) patience: Duration,
    /// A release does not wait until the lease is free. So the next call waits for it, unless the release is held up.
    pub(in crate::postgres) releasing: Releasing,
}

impl Turns {
    pub(in crate::postgres) fn release(&self, lease: Lease) {
        let place = place(&lease);
        self.releasing.lock().on_their_way.insert(place);
        if !self.ops.send(Op::Release(Release { lease, patience: Patience::new(self.patience) })) {
            // The lane has ended: the lease lasts until its time is over.
            self.releasing.lock().on_their_way.remove(&place);
        }
    }

    /// Whether the lease was given back, though that may not have arrived.
    pub(in crate::postgres) fn gives_back(&self, lease: &Lease) -> bool {
        let (place, returning) = (place(lease), self.releasing.lock());
        returning.on_their_way.contains(&place) || returning.held_up.contains(&place)
    }

    /// Waits until every lease that was given back is free, or held up.
    pub(in crate::postgres) async fn settled(&self, patience: Patience) -> Result<(), StoreError> {
        if self.releasing.lock().on_their_way.is_empty() {
            return Ok(());
        }
        self.ops.ask(|fate| Op::Flush(Flush { patience, fate })).await
    }
}

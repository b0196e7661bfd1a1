//! Leases on their way from a lane to who asked for them, and back.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::store::{Lease, StoreError};

use super::calls::{Place, place};
use super::ops::Op;
use crate::group::Sender;

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

/// Leases that are on their way back.
pub(in crate::postgres) type Releasing = Arc<Mutex<HashSet<Place>>>;

/// The way to the lane that keeps leases.
#[derive(Debug, Clone)]
pub(in crate::postgres) struct Turns {
    pub(in crate::postgres) ops: Sender<Op>,
    /// Nobody waits for a lease to be given back; so whoever asks next does, to find it free.
    pub(in crate::postgres) releasing: Releasing,
}

impl Turns {
    pub(in crate::postgres) fn release(&self, lease: Lease) {
        let place = place(&lease);
        self.leases().insert(place);
        if !self.ops.send(Op::Release(lease)) {
            // The lane has ended: the lease lasts until its time is over.
            self.leases().remove(&place);
        }
    }

    /// Whether the lease was given back, though that may not have arrived.
    pub(in crate::postgres) fn gives_back(&self, lease: &Lease) -> bool {
        self.leases().contains(&place(lease))
    }

    /// Waits until every lease that was given back is free.
    pub(in crate::postgres) async fn settled(&self) -> Result<(), StoreError> {
        if self.leases().is_empty() {
            return Ok(());
        }
        self.ops.ask(Op::Flush).await
    }

    fn leases(&self) -> MutexGuard<'_, HashSet<Place>> {
        self.releasing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

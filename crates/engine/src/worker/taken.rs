use std::time::Duration;

use awaitly_core::store::{Dispatch, Ending, Held, StoreError};

/// A claimed run whose execution has not begun. If it is dropped, its lease is released.
pub(super) struct Taken<S: Dispatch> {
    store: S,
    held: Option<Held>,
}

impl<S: Dispatch> Taken<S> {
    pub(super) const fn new(store: S, held: Held) -> Self {
        Self { store, held: Some(held) }
    }

    /// Sets the remaining time of the lease.
    pub(super) async fn renew(&self, lease: Duration) -> Result<(), StoreError> {
        match &self.held {
            Some(held) => self.store.renew(&held.lease, lease).await.map(drop),
            None => Ok(()),
        }
    }

    /// Records the end or the rest of the run.
    pub(super) async fn finish(mut self, ending: Ending) -> Result<(), StoreError> {
        if let Some(held) = &self.held {
            self.store.finish(&held.lease, ending).await?;
        }
        self.held = None;
        Ok(())
    }

    /// Passes the lease on to an execution.
    pub(super) fn into_held(mut self) -> Option<Held> {
        self.held.take()
    }
}

impl<S: Dispatch> Drop for Taken<S> {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            self.store.release(&held.lease);
        }
    }
}

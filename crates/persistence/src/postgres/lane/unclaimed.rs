use std::fmt;
use std::sync::Arc;

use awaitly_core::store::Lease;

/// A lease on its way to its caller. If the future of the call is dropped before the lease arrives, the lease is
/// released, wherever it is then.
#[derive(Debug)]
pub(in crate::postgres) struct Unclaimed(Option<(Lease, Arc<dyn Back>)>);

/// A way to release a lease.
pub(in crate::postgres) trait Back: fmt::Debug + Send + Sync {
    fn release(&self, lease: Lease);
}

impl Unclaimed {
    pub(in crate::postgres) fn new(lease: Lease, back: Arc<dyn Back>) -> Self {
        Self(Some((lease, back)))
    }

    /// Returns the lease. From now on, the caller is responsible for its release.
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

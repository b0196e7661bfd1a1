use std::fmt;
use std::sync::Arc;

use awaitly_core::store::Lease;

/// A lease on its way to its caller. If the caller drops its future before the lease arrives, dropping this value
/// releases the lease.
#[derive(Debug)]
pub(crate) struct Unclaimed {
    lease: Lease,
    /// `None` while the lease is not committed, and after it has arrived.
    back: Option<Arc<dyn Back>>,
}

/// A way to release a lease.
pub(crate) trait Back: fmt::Debug + Send + Sync {
    fn release(&self, lease: Lease);
}

impl Unclaimed {
    /// Wraps a lease that is not committed yet: dropping it has no effect.
    pub(crate) const fn new(lease: Lease) -> Self {
        Self { lease, back: None }
    }

    /// Marks the lease as committed: from now on, dropping it releases it through `back`.
    pub(crate) fn committed(mut self, back: Arc<dyn Back>) -> Self {
        self.back = Some(back);
        self
    }

    /// Returns the lease. From now on, the caller is responsible for its release.
    pub(crate) fn claim(mut self) -> Lease {
        self.back = None;
        self.lease.clone()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            back.release(self.lease.clone());
        }
    }
}

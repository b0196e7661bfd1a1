use std::fmt;
use std::sync::Arc;

use awaitly_core::store::Lease;

/// A lease on its way to the caller that asked for it. If the future of the call is dropped before the lease has arrived,
/// the lease is given back, wherever it is then.
#[derive(Debug)]
pub(in crate::postgres) struct Unclaimed(Option<(Lease, Arc<dyn Back>)>);

/// The way on which a lease is given back.
pub(in crate::postgres) trait Back: fmt::Debug + Send + Sync {
    fn release(&self, lease: Lease);
}

impl Unclaimed {
    pub(in crate::postgres) fn new(lease: Lease, back: Arc<dyn Back>) -> Self {
        Self(Some((lease, back)))
    }

    /// Returns the lease. The caller has to give it back from now on.
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

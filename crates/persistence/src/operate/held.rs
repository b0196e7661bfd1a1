use awaitly_core::store::{Lease, Operate};

/// A lease that is released on drop, even if the future that holds it is dropped.
pub(super) struct Held<'s, S: Operate + ?Sized> {
    pub(super) store: &'s S,
    pub(super) lease: Lease,
}

impl<S: Operate + ?Sized> Drop for Held<'_, S> {
    fn drop(&mut self) {
        self.store.release(&self.lease);
    }
}

//! Stores, each in a place that no other test has.

use awaitly_core::store::Operate;
use awaitly_persistence::conformance::Fixture;

/// Where a store keeps its runs: a folder, a schema, a prefix. It is gone when this is dropped.
pub(crate) trait Place: Send + Sync + 'static {
    type Store: Operate + Clone;

    /// A place without runs.
    fn empty() -> Self;

    /// Opens a store there.
    async fn open(&self) -> Self::Store;
}

/// A store, and the place that it needs for as long as it is used.
pub(crate) struct Placed<P: Place> {
    pub(crate) store: P::Store,
    pub(crate) place: P,
}

impl<P: Place> Placed<P> {
    pub(crate) async fn new() -> Self {
        let place = P::empty();
        Self { store: place.open().await, place }
    }
}

impl<P: Place> Fixture for Placed<P> {
    type Store = P::Store;

    fn store(&self) -> &P::Store {
        &self.store
    }
}

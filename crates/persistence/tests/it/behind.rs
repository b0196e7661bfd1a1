//! Stores behind a proxy.

use std::time::Duration;

use awaitly_core::journal::Status;
use awaitly_core::store::{Ending, Operate, Store};

use crate::given::{append, begin, load, value};
use crate::place::Place;
use crate::proxy::Proxy;

/// A place on a server.
pub(crate) trait Served: Place {
    /// The host and port of the server.
    fn address() -> String;

    /// Opens a store that reaches the server through `proxy`.
    async fn open_through(&self, proxy: &Proxy, patience: Duration) -> Self::Store;
}

/// A store behind a proxy, beside one that is not. The place goes last.
pub(crate) struct Behind<P: Served> {
    pub(crate) proxy: Proxy,
    pub(crate) far: P::Store,
    pub(crate) near: P::Store,
    pub(crate) place: P,
}

impl<P: Served> Behind<P> {
    pub(crate) async fn new(patience: Duration) -> Self {
        let (proxy, place) = (Proxy::start(P::address()).await, P::empty());
        let near = place.open().await;
        Self { far: place.open_through(&proxy, patience).await, proxy, near, place }
    }
}

/// A closed store has no connection to its server any more, and its leases that were given back are free.
pub(crate) async fn closed_store_holds_no_connection<P: Served>(
    close: impl AsyncFn(P::Store) -> Result<(), awaitly_core::store::StoreError>,
) {
    let Behind { proxy, far, near, place: _place } = Behind::<P>::new(Duration::from_secs(20)).await;
    let mut wakes = far.wakes();
    assert!(wakes.changed().await, "the store listens");
    let (given_back, ended) = (begin(&far, "given back").await, begin(&far, "ended").await);
    append(&far, &ended, value("charge", "1")).await.unwrap();
    far.finish(&ended, Ending::new(Status::Waiting)).await.unwrap();
    far.release(&given_back);
    load(&far, "ended").await;
    assert!(proxy.open() > 2, "{}", proxy.open());
    let other = far.clone();
    let given_back = begin(&far, "given back").await;
    far.release(&given_back);
    close(far).await.unwrap();
    begin(&near, "given back").await;
    proxy.all_closed().await;
    drop(other);
}

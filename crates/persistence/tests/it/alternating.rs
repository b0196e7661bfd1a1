//! Two handles on one place, as in two processes: whoever opens a run next is the other one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use awaitly_core::store::around::{Call, Reply, Request};
use awaitly_core::store::{Around, Lease, Opened, RunId, Store, StoreError};

use crate::given::run_id;
use crate::place::Place;

pub(crate) struct Alternating<P: Place> {
    stores: [P::Store; 2],
    turn: AtomicUsize,
    /// Which store gave a lease: a lease is used where it was given.
    givers: Mutex<HashMap<(RunId, u64), usize>>,
    _place: P,
}

impl<P: Place> Alternating<P> {
    pub(crate) async fn new() -> Self {
        let place = P::empty();
        let stores = [place.open().await, place.open().await];
        Self { stores, turn: AtomicUsize::new(0), givers: Mutex::default(), _place: place }
    }

    fn giver(&self, lease: &Lease) -> &P::Store {
        let givers = self.givers.lock().unwrap();
        &self.stores[givers.get(&(lease.run().clone(), lease.token())).copied().unwrap_or(0)]
    }

    /// The other store. A release is not waited for: each must have carried it out before the other can see it.
    async fn next(&self) -> usize {
        for store in &self.stores {
            let nobodys = Lease::new(run_id("nobody"), 1, i64::MAX);
            store.renew(&nobodys, Duration::ZERO).await.unwrap_err();
            assert_eq!(store.load(nobodys.run()).await, Ok(None));
        }
        self.turn.fetch_add(1, Ordering::Relaxed) % 2
    }
}

const LISTENED: [Call; 8] = [
    Call::Answer,
    Call::Cancel,
    Call::CancelWithoutUndo,
    Call::Now,
    Call::Submit,
    Call::Configure,
    Call::PauseQueues,
    Call::Reschedule,
];

impl<P: Place> Around for Alternating<P> {
    type Inner = P::Store;

    fn inner(&self) -> &P::Store {
        &self.stores[0]
    }

    async fn around<R: Request<P::Store>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        if let Some(giver) = request.parts().lease().map(|lease| self.giver(lease)) {
            return request.send(giver).await;
        }
        // Not every store notices a change that another handle made, so these go to the store that listens.
        if LISTENED.contains(&R::CALL) {
            return request.send(&self.stores[0]).await;
        }
        let turn = self.next().await;
        let mut answer = request.send(&self.stores[turn]).await?;
        let mut givers = self.givers.lock().unwrap();
        let given = |lease: &Lease| ((lease.run().clone(), lease.token()), turn);
        match R::reply(&mut answer) {
            Reply::Open(Opened::Held { lease, .. }) => givers.extend([given(lease)]),
            Reply::Claim(claimed) => givers.extend(claimed.runs.iter().map(|held| given(&held.lease))),
            _ => {}
        }
        drop(givers);
        Ok(answer)
    }

    fn release_around(&self, lease: &Lease) {
        self.giver(lease).release(lease);
    }
}

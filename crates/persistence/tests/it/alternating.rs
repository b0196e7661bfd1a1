//! Two handles on one place, as in two processes: whoever opens a run next is the other one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use awaitly_core::store::around::{Call, Reply, Request};
use awaitly_core::store::{Around, Lease, Opened, Operate, RunId, StoreError};

/// `S` is a handle of its own on what the other one works on too; `K` is what that needs beside it.
pub(crate) struct Alternating<S, K> {
    stores: [S; 2],
    turn: AtomicUsize,
    /// Which store gave a lease: a lease is used where it was given.
    givers: Mutex<HashMap<(RunId, u64), usize>>,
    _keep: K,
}

impl<S: Operate, K> Alternating<S, K> {
    pub(crate) fn new(stores: [S; 2], keep: K) -> Self {
        Self { stores, turn: AtomicUsize::new(0), givers: Mutex::default(), _keep: keep }
    }

    fn giver(&self, lease: &Lease) -> &S {
        let givers = self.givers.lock().unwrap();
        &self.stores[givers.get(&(lease.run().clone(), lease.token())).copied().unwrap_or(0)]
    }

    /// The other store. A release is not waited for: each must have carried it out before the other can see it.
    async fn next(&self) -> usize {
        for store in &self.stores {
            let nobodys = Lease::new(RunId::new("nobody").unwrap(), 1, i64::MAX);
            store.renew(&nobodys, Duration::ZERO).await.unwrap_err();
            assert_eq!(store.load(nobodys.run()).await, Ok(None));
        }
        self.turn.fetch_add(1, Ordering::Relaxed) % 2
    }
}

impl<S: Operate, K: Send + Sync + 'static> Around for Alternating<S, K> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.stores[0]
    }

    async fn around<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        if let Some(giver) = request.parts().lease().map(|lease| self.giver(lease)) {
            return request.send(giver).await;
        }
        // Not every store notices a change that another handle made, so these go to the store that listens.
        if matches!(R::CALL, Call::Answer | Call::Cancel | Call::CancelWithoutUndo | Call::Now) {
            return request.send(&self.stores[0]).await;
        }
        let turn = self.next().await;
        let mut answer = request.send(&self.stores[turn]).await?;
        if let Reply::Open(Opened::Held { lease, .. }) = R::reply(&mut answer) {
            self.givers.lock().unwrap().insert((lease.run().clone(), lease.token()), turn);
        }
        Ok(answer)
    }

    fn release_around(&self, lease: &Lease) {
        self.giver(lease).release(lease);
    }
}

//! The store as one process has it: with a boundary before and after each call that writes.

use std::sync::LazyLock;

use awaitly::store::around::{Call, Calls, Reply, Request};
use awaitly::store::{AnyStore, Around, Lease, Opened, Store, StoreError};

use crate::life::Life;

/// Clones are the same process.
#[derive(Clone)]
pub(crate) struct Gate<S = AnyStore> {
    life: Life,
    store: S,
}

/// The calls with a boundary. Those of the engine come from a worker or a client only.
static BOUNDARIES: LazyLock<Calls> = LazyLock::new(|| {
    Calls::WRITES | Call::Open | Call::Claim | Call::Submit | Call::PutSchedules | Call::Cancel
});

impl<S> Gate<S> {
    pub(crate) const fn new(life: Life, store: S) -> Self {
        Self { life, store }
    }
}

impl<S: Store> Around for Gate<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.store
    }

    async fn around<R: Request<S>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if !BOUNDARIES.include(R::CALL, None, None) {
            return request.send(&self.store).await;
        }
        if R::CALL == Call::Claim {
            // A worker claims often, and mostly finds no run.
            self.life.stand().await?;
        } else {
            self.life.cross(true).await?;
        }
        let mut answer = request.send(&self.store).await?;
        let leases = match R::reply(&mut answer) {
            Reply::Open(Opened::Held { lease, .. }) => vec![lease.clone()],
            Reply::Claim(claimed) => claimed.runs.iter().map(|held| held.lease.clone()).collect(),
            Reply::Open(_) => Vec::new(),
            _ => {
                self.life.cross(true).await?;
                return Ok(answer);
            }
        };
        if !leases.is_empty() {
            self.life.notes().leases.extend(leases.iter().cloned());
            // A lease whose owner never learns of it is given back.
            let answered = self.life.cross(true).await;
            answered.inspect_err(|_| leases.iter().for_each(|lease| self.store.release(lease)))?;
        }
        Ok(answer)
    }

    fn release_around(&self, lease: &Lease) {
        // A process that died gives nothing back.
        if !self.life.is_dead() {
            self.store.release(lease);
        }
    }
}

//! The store as one process has it: with a boundary before and after each call that writes.

use awaitly::store::around::{Call, Calls, Reply, Request};
use awaitly::store::{AnyStore, Around, Lease, Opened, Store, StoreError};

use crate::life::Life;

/// Clones are the same process.
#[derive(Clone)]
pub(crate) struct Gate {
    life: Life,
    store: AnyStore,
}

impl Gate {
    pub(crate) fn new(life: Life) -> Self {
        let store = life.place().any();
        Self { life, store }
    }
}

impl Around for Gate {
    type Inner = AnyStore;

    fn inner(&self) -> &AnyStore {
        &self.store
    }

    async fn around<R: Request<AnyStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if !(Calls::WRITES | Call::Open).include(R::CALL, None, None) {
            return request.send(&self.store).await;
        }
        self.life.cross(true).await?;
        let mut answer = request.send(&self.store).await?;
        match R::reply(&mut answer) {
            Reply::Open(Opened::Held { lease, .. }) => {
                self.life.notes().leases.push(lease.clone());
                // A lease whose owner never learns of it is given back.
                let answered = self.life.cross(true).await;
                answered.inspect_err(|_| self.store.release(lease))?;
            }
            Reply::Open(_) => {}
            _ => self.life.cross(true).await?,
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

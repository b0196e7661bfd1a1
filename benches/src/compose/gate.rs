//! The store as one process has it: with a boundary before and after each call that writes.

use std::time::Duration;

use awaitly::journal::{Key, Outcome, Record, Settling};
use awaitly::store::{
    Durability, Ending, Lease, Open, Opened, Renewed, Rewrite, RunId, Store, StoreError, StoredRun, Wait,
};

use crate::life::Life;
use crate::place::on;

/// Clones are the same process.
#[derive(Clone)]
pub(crate) struct Gate(pub(crate) Life);

impl Gate {
    async fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.0.cross(true).await?;
        let answer = call.await?;
        self.0.cross(true).await?;
        Ok(answer)
    }
}

impl Store for Gate {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        self.0.cross(true).await?;
        let opened = on!(self.0.place(), store => store.open(request).await)?;
        let Opened::Held { lease, .. } = &opened else { return Ok(opened) };
        self.0.notes().leases.push(lease.clone());
        // A lease whose owner never learns of it is given back.
        let answered = self.0.cross(true).await;
        answered.inspect_err(|_| on!(self.0.place(), store => store.release(lease)))?;
        Ok(opened)
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.call(async { on!(self.0.place(), store => store.append(lease, record, durability).await) }).await
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.call(async { on!(self.0.place(), store => store.replace(lease, record, durability).await) })
            .await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        self.call(async { on!(self.0.place(), store => store.wait(lease, wait).await) }).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        self.call(async { on!(self.0.place(), store => store.settle(lease, record, settling).await) }).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        self.call(async { on!(self.0.place(), store => store.revive(lease, drop).await) }).await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        self.call(async { on!(self.0.place(), store => store.rewrite(lease, rewrite).await) }).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        self.call(async { on!(self.0.place(), store => store.finish(lease, ending).await) }).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        on!(self.0.place(), store => store.renew(lease, ttl).await)
    }

    fn release(&self, lease: &Lease) {
        // A process that died gives nothing back.
        if !self.0.is_dead() {
            on!(self.0.place(), store => store.release(lease));
        }
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        on!(self.0.place(), store => store.load(run).await)
    }

    fn durability(&self) -> &'static str {
        on!(self.0.place(), store => store.durability())
    }
}

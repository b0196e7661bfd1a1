//! A store that commits records together with other writes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use awaitly_core::journal::{Key, Outcome, Record, Settling};
use awaitly_core::store::{
    Durability, Ending, Lease, OnRecorded, Open, Opened, Renewed, Rewrite, RunId, Store, StoreError,
    StoredRun, Transactional, Wait,
};
use awaitly_persistence::MemoryStore;

/// Journals together with a list of booked amounts.
#[derive(Default)]
pub(crate) struct Ledger {
    journals: MemoryStore,
    booked: Arc<Mutex<Vec<u64>>>,
}

impl Ledger {
    pub(crate) fn booked(&self) -> Vec<u64> {
        self.booked.lock().unwrap().clone()
    }
}

impl Transactional for Ledger {
    /// The amounts to book.
    type Transaction = Vec<u64>;

    async fn begin(&self) -> Result<Vec<u64>, StoreError> {
        Ok(Vec::new())
    }

    async fn commit(
        &self,
        transaction: Vec<u64>,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        match on_recorded {
            OnRecorded::Refuse => self.append(lease, record, Durability::Sync).await?,
            OnRecorded::Replace => self.replace(lease, record, Durability::Sync).await?,
        }
        self.booked.lock().unwrap().extend(transaction);
        Ok(())
    }
}

impl Store for Ledger {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        self.journals.open(request).await
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.journals.append(lease, record, durability).await
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.journals.replace(lease, record, durability).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        self.journals.wait(lease, wait).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        self.journals.settle(lease, record, settling).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        self.journals.revive(lease, drop).await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        self.journals.rewrite(lease, rewrite).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        self.journals.finish(lease, ending).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        self.journals.renew(lease, ttl).await
    }

    fn release(&self, lease: &Lease) {
        self.journals.release(lease);
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.journals.load(run).await
    }

    fn durability(&self) -> &'static str {
        self.journals.durability()
    }
}

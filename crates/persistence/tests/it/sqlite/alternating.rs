//! Two stores on one file, as in two processes: whoever opens a run next is the other one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use awaitly_core::journal::{Key, Record};
use awaitly_core::store::{Ending, Lease, Open, Opened, RunId, Store, StoreError, StoredRun};
use awaitly_persistence::SqliteStore;
use tempfile::TempDir;

use super::{file, run};

mod conformance {
    use super::Alternating;
    awaitly_persistence::conformance_tests!(Alternating::new().await);
}

struct Alternating {
    stores: [SqliteStore; 2],
    turn: AtomicUsize,
    /// Which store gave a lease: a lease is used where it was given.
    givers: Mutex<HashMap<(i64, u64), usize>>,
    _folder: TempDir,
}

impl Alternating {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder);
        let stores = [SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap()];
        Self { stores, turn: AtomicUsize::new(0), givers: Mutex::default(), _folder: folder }
    }

    fn giver(&self, lease: &Lease) -> &SqliteStore {
        let givers = self.givers.lock().unwrap();
        &self.stores[givers.get(&(lease.slot(), lease.token())).copied().unwrap_or(0)]
    }

    /// A release is not waited for: one store must have carried it out before the other can see it.
    async fn released(&self) {
        for store in &self.stores {
            let nobodys = Lease::new(run("nobody"), 1, i64::MAX);
            store.renew(&nobodys, Duration::ZERO).await.unwrap_err();
        }
    }
}

impl Store for Alternating {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        self.released().await;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % 2;
        let opened = self.stores[turn].open(request).await?;
        if let Opened::Held { lease, .. } = &opened {
            self.givers.lock().unwrap().insert((lease.slot(), lease.token()), turn);
        }
        Ok(opened)
    }

    async fn append(&self, lease: &Lease, record: Record) -> Result<(), StoreError> {
        self.giver(lease).append(lease, record).await
    }

    async fn replace(&self, lease: &Lease, record: Record) -> Result<(), StoreError> {
        self.giver(lease).replace(lease, record).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        self.giver(lease).revive(lease, drop).await
    }

    async fn rewrite(&self, lease: &Lease, version: u32, records: Vec<Record>) -> Result<(), StoreError> {
        self.giver(lease).rewrite(lease, version, records).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        self.giver(lease).finish(lease, ending).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), StoreError> {
        self.giver(lease).renew(lease, ttl).await
    }

    fn release(&self, lease: &Lease) {
        self.giver(lease).release(lease);
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.released().await;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % 2;
        self.stores[turn].load(run).await
    }

    fn durability(&self) -> &'static str {
        self.stores[0].durability()
    }
}

//! A store that stops at a chosen boundary, like a process that dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use awaitly::journal::{Key, Outcome, Record, Settling};
use awaitly::store::{
    Durability, Ending, Lease, Open, Opened, Renewed, Rewrite, RunId, Store, StoreError, StoredRun, Wait,
};
use tokio::sync::Notify;

/// Counts the boundaries of a run, and stops the run at one of them.
#[derive(Clone, Default)]
pub(crate) struct Fuse(Arc<Wire>);

#[derive(Default)]
struct Wire {
    left: AtomicI64,
    passed: AtomicI64,
    burnt: Notify,
}

impl Fuse {
    /// Sets the boundary at which the run stops. The first boundary has the number 1; with 0 the run does not stop.
    pub(crate) fn set(&self, boundary: i64) {
        self.0.left.store(boundary, Ordering::Relaxed);
        self.0.passed.store(0, Ordering::Relaxed);
    }

    /// Returns the number of boundaries passed since [`set`](Self::set).
    pub(crate) fn passed(&self) -> i64 {
        self.0.passed.load(Ordering::Relaxed)
    }

    /// Passes a boundary, or never returns if the run stops here.
    pub(crate) async fn pass(&self) {
        self.0.passed.fetch_add(1, Ordering::Relaxed);
        if self.0.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.burnt.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Returns the result of `run`, or `None` if it stopped at the boundary.
    pub(crate) async fn watch<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.burnt.notified() => None,
            ended = run => Some(ended),
        }
    }
}

/// A store with a boundary before and after each write of a run.
#[derive(Clone)]
pub(crate) struct Fused<S>(pub(crate) S, pub(crate) Fuse);

impl<S: Store> Fused<S> {
    async fn pass<T>(&self, write: impl Future<Output = T>) -> T {
        self.1.pass().await;
        let answer = write.await;
        self.1.pass().await;
        answer
    }
}

impl<S: Store> Store for Fused<S> {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        self.0.open(request).await
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.pass(self.0.append(lease, record, durability)).await
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.pass(self.0.replace(lease, record, durability)).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        self.pass(self.0.wait(lease, wait)).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        self.pass(self.0.settle(lease, record, settling)).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        self.pass(self.0.revive(lease, drop)).await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        self.pass(self.0.rewrite(lease, rewrite)).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        self.pass(self.0.finish(lease, ending)).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        self.0.renew(lease, ttl).await
    }

    fn release(&self, lease: &Lease) {
        self.0.release(lease);
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.0.load(run).await
    }

    fn durability(&self) -> &'static str {
        self.0.durability()
    }
}

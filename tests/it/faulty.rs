//! A store that fails, and what a run makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use awaitly::journal::{Key, Outcome, Record, Settling, Status};
use awaitly::persistence::MemoryStore;
use awaitly::store::{
    Durability, Ending, Lease, Open, Opened, Renewed, RunId, Store, StoreError, StoredRun, Wait,
};
use awaitly::{DurableRun, RunError, Workflow, step};

use crate::durable::{Bank, OrderError};

/// A store in memory that fails as it is told to.
#[derive(Clone, Default)]
pub(crate) struct Faulty {
    inner: MemoryStore,
    fail_appends: Arc<AtomicU32>,
    fail_finishes: Arc<AtomicU32>,
    pub(crate) lose_renewals: Arc<AtomicBool>,
    /// An append is answered a minute after its record is in the store.
    slow_appends: Arc<AtomicBool>,
}

fn full(fail: &AtomicU32) -> Result<(), StoreError> {
    match fail.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
        Ok(_) => Err(StoreError::Full { detail: "no space left on device".into() }),
        Err(_) => Ok(()),
    }
}

impl Store for Faulty {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        self.inner.open(request).await
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        full(&self.fail_appends)?;
        self.inner.append(lease, record, durability).await?;
        if self.slow_appends.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Ok(())
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.inner.replace(lease, record, durability).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        self.inner.wait(lease, wait).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        self.inner.settle(lease, record, settling).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        self.inner.revive(lease, drop).await
    }

    async fn rewrite(&self, lease: &Lease, version: u32, records: Vec<Record>) -> Result<(), StoreError> {
        self.inner.rewrite(lease, version, records).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        full(&self.fail_finishes)?;
        self.inner.finish(lease, ending).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        if self.lose_renewals.load(Ordering::Relaxed) {
            return Ok(Renewed { now: SystemTime::now().into(), cancel: false });
        }
        self.inner.renew(lease, ttl).await
    }

    fn release(&self, lease: &Lease) {
        self.inner.release(lease);
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        self.inner.load(run).await
    }

    fn durability(&self) -> &'static str {
        "memory, and faulty"
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_written_stops_the_run_whatever_the_body_does() {
    let store = Faulty::default();
    let bank = Bank::default();
    let workflow = Workflow::new("w").store(store.clone());
    let body = async |run: &DurableRun| {
        let first = step!(run, "first", bank.charge());
        // A body that swallows the failure gets nowhere.
        let _ = run.step("second", || bank.charge()).await;
        let _ = run.step("third", || bank.charge()).await;
        Ok::<_, OrderError>(first)
    };
    store.fail_appends.store(0, Ordering::Relaxed);
    let swallowing = async |run: &DurableRun| {
        let first = step!(run, "first", bank.charge());
        store.fail_appends.store(1, Ordering::Relaxed);
        let second = run.step("second", || bank.charge()).await;
        assert!(second.is_err());
        let third = run.step("third", || bank.charge()).await;
        assert!(third.is_err(), "nothing runs after the failure");
        Ok::<_, OrderError>(first)
    };
    let full = workflow.run("r", swallowing).await;
    assert!(matches!(full, Err(OrderError::Run(RunError::Store(StoreError::Full { .. })))), "{full:?}");
    assert_eq!(bank.calls(), 2);

    // Nothing is lost: the run is free, and goes on from what it has recorded.
    let stored = store.load(&RunId::new("r").unwrap()).await.unwrap().unwrap();
    assert_eq!((stored.header.status, stored.records.len()), (Status::Running, 1));
    assert_eq!(workflow.run("r", body).await, Ok(1));
    assert_eq!(bank.calls(), 4);
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_made_again_from_the_records() {
    let store = Faulty::default();
    let bank = Bank::default();
    let workflow = Workflow::new("w").store(store.clone());
    let body = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, bank.charge()));
    store.fail_finishes.store(1, Ordering::Relaxed);
    let full = workflow.run("r", body).await;
    assert!(matches!(full, Err(OrderError::Run(RunError::Store(_)))), "{full:?}");
    assert_eq!(workflow.run("r", body).await, Ok(1));
    assert_eq!(bank.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_body_sees_no_value_before_its_record_is_acknowledged() {
    let store = Faulty::default();
    store.slow_appends.store(true, Ordering::Relaxed);
    let bank = Bank::default();
    let workflow = Workflow::new("w").store(store);
    let seen_after = workflow.run("r", async |run| {
        let began = tokio::time::Instant::now();
        step!(run, bank.charge());
        Ok::<_, OrderError>(began.elapsed().as_secs())
    });
    assert_eq!(seen_after.await, Ok(60));
}

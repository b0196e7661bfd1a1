//! The parts that the tests share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use awaitly_core::store::around::{Call, Request};
use awaitly_core::store::{Around, StoreError};
use awaitly_core::{DurableRun, RunError};
use awaitly_engine::{Client, Contract, Finding, Worker};
use awaitly_persistence::MemoryStore;

pub(crate) const SUM: Contract<Vec<u64>, u64, RunError> = Contract::new("sum");

pub(crate) async fn sum(_: DurableRun, numbers: Vec<u64>) -> Result<u64, RunError> {
    Ok(numbers.iter().sum())
}

/// A store in memory with a client.
pub(crate) fn memory() -> (MemoryStore, Client<MemoryStore>) {
    let store = MemoryStore::new();
    (store.clone(), Client::new(store))
}

/// Lets `worker` work until `done` is ready, and returns its output. No run may be stuck afterwards.
pub(crate) async fn work<T>(worker: &Worker<MemoryStore>, done: impl Future<Output = T>) -> T {
    let mut output = None;
    let stop = async { output = Some(done.await) };
    worker.run_until(stop).await.expect("the store works");
    let diagnosis = Client::new(worker.store().clone()).doctor().await.expect("the store works");
    assert_eq!(diagnosis.stuck().collect::<Vec<_>>(), [] as [&Finding; 0]);
    output.expect("the worker stops when `done` is ready")
}

/// Counts concurrent calls.
#[derive(Clone, Default)]
pub(crate) struct Gauge(Arc<[AtomicUsize; 3]>);

impl Gauge {
    /// Executes `call`, and counts it while it runs.
    pub(crate) async fn during<T>(&self, call: impl Future<Output = T>) -> T {
        let [now, most, total] = &*self.0;
        total.fetch_add(1, Ordering::Relaxed);
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let output = call.await;
        now.fetch_sub(1, Ordering::Relaxed);
        output
    }

    /// Returns the largest number of concurrent calls so far.
    pub(crate) fn most(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> usize {
        self.0[2].load(Ordering::Relaxed)
    }
}

/// A store that counts claims, and fails the first ones.
#[derive(Clone)]
pub(crate) struct Claims {
    store: MemoryStore,
    made: Arc<AtomicUsize>,
    failing: usize,
}

impl Claims {
    pub(crate) fn counted(store: MemoryStore) -> Self {
        Self::failing(store, 0)
    }

    pub(crate) fn failing(store: MemoryStore, failing: usize) -> Self {
        Self { store, made: Arc::default(), failing }
    }

    /// Returns the number of claims so far.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

impl Around for Claims {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if R::CALL == Call::Claim && self.made.fetch_add(1, Ordering::Relaxed) < self.failing {
            return Err(StoreError::Unavailable { detail: "test".into() });
        }
        request.send(&self.store).await
    }
}

/// A store that answers some calls late, as a server on another continent does.
#[derive(Clone)]
pub(crate) struct Distant {
    store: MemoryStore,
    delay: Duration,
    delays: fn(Call) -> bool,
}

impl Distant {
    pub(crate) const fn new(store: MemoryStore, delay: Duration, delays: fn(Call) -> bool) -> Self {
        Self { store, delay, delays }
    }
}

impl Around for Distant {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        let answer = request.send(&self.store).await;
        if (self.delays)(R::CALL) {
            tokio::time::sleep(self.delay).await;
        }
        answer
    }
}

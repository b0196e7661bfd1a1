//! A worker that is frozen while another one takes its runs over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use awaitly_core::clock::secs;
use awaitly_core::store::around::{Call, Reply, Request};
use awaitly_core::store::{Around, Lease, Store, StoreError};
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::{Client, Contract, RunExt, Worker};
use awaitly_persistence::MemoryStore;

use crate::world::Gauge;

const PARENT: Contract<(), u64, RunError> = Contract::new("parent");
const PART: Contract<(), u64, RunError> = Contract::new("part");

async fn parent(run: DurableRun, (): ()) -> Result<u64, RunError> {
    run.child(PART, "part", &()).await.map_err(|_| RunError::Empty { what: "part".into() })
}

/// Returns a worker whose children fail.
fn worker<S: awaitly_core::store::Dispatch + Clone>(store: S, bodies: &Gauge) -> Worker<S> {
    let bodies = bodies.clone();
    let part = move |run: DurableRun, ()| {
        let bodies = bodies.clone();
        async move {
            bodies.during(async {}).await;
            step!(run, "make", async { Err::<u64, _>(RunError::Empty { what: "stock".into() }) });
            Ok(1)
        }
    };
    Worker::new(store).serve(PARENT, parent).serve(PART, part)
}

/// The store of a worker that is frozen before it starts a child.
#[derive(Clone)]
struct Frozen {
    store: MemoryStore,
    bodies: Gauge,
    leases: Arc<Mutex<Vec<Lease>>>,
    was_frozen: Arc<AtomicBool>,
}

impl Around for Frozen {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if R::CALL == Call::Submit && !self.was_frozen.swap(true, Ordering::Relaxed) {
            let leases = std::mem::take(&mut *self.leases.lock().unwrap());
            leases.iter().for_each(|lease| self.store.release(lease));
            worker(self.store.clone(), &self.bodies).tick(secs(10)).await?;
        }
        let mut answer = request.send(&self.store).await?;
        if let Reply::Claim(claimed) = R::reply(&mut answer) {
            self.leases.lock().unwrap().extend(claimed.runs.iter().map(|held| held.lease.clone()));
        }
        Ok(answer)
    }
}

#[tokio::test(start_paused = true)]
async fn frozen_worker_does_not_retry_a_child_that_failed_for_another_one() {
    let (store, bodies) = (MemoryStore::new(), Gauge::default());
    let frozen = Frozen {
        store: store.clone(),
        bodies: bodies.clone(),
        leases: Arc::default(),
        was_frozen: Arc::default(),
    };
    let run = Client::new(store.clone()).start(PARENT, "parent", &()).await.unwrap();
    worker(frozen, &bodies).tick(secs(10)).await.unwrap();
    worker(store, &bodies).tick(secs(10)).await.unwrap();
    assert!(run.has_ended().await.unwrap());
    assert_eq!(bodies.total(), 1, "the child fails once");
}

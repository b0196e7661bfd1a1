//! Leases: renewal and replacement of their owner.

use std::sync::atomic::{AtomicU32, Ordering};

use awaitly::clock::secs;
use awaitly::persistence::MemoryStore;
use awaitly::store::{Open, Opened, Owner, RunId, Store, StoreError};
use awaitly::testing::fault::{Call, Fault, FaultyStore};
use awaitly::{DurableRun, RunError, Workflow, step};

use crate::durable::{Bank, OrderError};

#[tokio::test(start_paused = true)]
async fn lease_is_renewed_while_the_body_runs() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("w").store(store.clone()).lease(secs(30));
    let long = workflow.run("r", async |_| {
        tokio::time::sleep(secs(3600)).await;
        Ok::<_, OrderError>(1)
    });
    let (long, busy) = tokio::join!(long, async {
        tokio::time::sleep(secs(3000)).await;
        workflow.run("r", async |_| Ok::<_, OrderError>(2)).await
    });
    assert_eq!(long, Ok(1));
    assert!(matches!(busy, Err(OrderError::Run(RunError::Busy { .. }))), "{busy:?}");
}

#[tokio::test(start_paused = true)]
async fn replaced_owner_loses_its_lease_and_drops_the_body() {
    let store = FaultyStore::new(MemoryStore::new());
    let bank = Bank::default();
    let workflow = Workflow::new("w").store(store.clone()).lease(secs(30));
    let begun = AtomicU32::new(0);
    let body = async |run: &DurableRun| {
        begun.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(secs(3600)).await;
        Ok::<_, OrderError>(step!(run, bank.charge()))
    };
    // The store refuses the renewals, as if the process were frozen, and another owner takes the run.
    store.always(Call::Renew, Fault::Refuse);
    let thief = async {
        tokio::time::sleep(secs(29)).await;
        let request = Open::new(RunId::new("r").unwrap(), "w", Owner::new("thief"));
        assert!(matches!(store.open(request.clone()).await, Ok(Opened::Refused(_))));
        tokio::time::sleep(secs(2)).await;
        assert!(matches!(store.open(request).await, Ok(Opened::Held { .. })));
        store.heal();
    };
    let (replaced, ()) = tokio::join!(workflow.run("r", body), thief);
    let lost = RunError::Store(StoreError::LeaseLost { run: "r".into() });
    assert_eq!(replaced, Err(lost.into()));
    assert_eq!((begun.load(Ordering::Relaxed), bank.calls()), (1, 0));
}

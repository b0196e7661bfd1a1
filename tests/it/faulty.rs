//! Runs on a store that fails.

use awaitly::clock::secs;
use awaitly::journal::Status;
use awaitly::persistence::MemoryStore;
use awaitly::store::{RunId, Store, StoreError};
use awaitly::testing::fault::{Call, Fault, FaultyStore};
use awaitly::{DurableRun, RunError, Workflow, step};

use crate::durable::{Bank, OrderError};

#[tokio::test]
async fn failed_append_stops_the_run_even_if_ignored() {
    let store = FaultyStore::new(MemoryStore::new());
    let bank = Bank::default();
    let workflow = Workflow::new("w").store(store.clone());
    let body = async |run: &DurableRun| {
        let first = step!(run, "first", bank.charge());
        // The run fails even if the body ignores the failure.
        let _ = run.step("second", || bank.charge()).await;
        let _ = run.step("third", || bank.charge()).await;
        Ok::<_, OrderError>(first)
    };
    let swallowing = async |run: &DurableRun| {
        let first = step!(run, "first", bank.charge());
        store.once(Call::Append, Fault::Full);
        let second = run.step("second", || bank.charge()).await;
        assert!(second.is_err());
        let third = run.step("third", || bank.charge()).await;
        assert!(third.is_err(), "no step runs after the failure");
        Ok::<_, OrderError>(first)
    };
    let full = workflow.run("r", swallowing).await;
    assert!(matches!(full, Err(OrderError::Run(RunError::Store(StoreError::Full { .. })))), "{full:?}");
    assert_eq!(bank.calls(), 2);

    // No record is lost: the lease is released, and the run resumes from its records.
    let stored = store.load(&RunId::new("r").unwrap()).await.unwrap().unwrap();
    assert_eq!((stored.header.status, stored.records.len()), (Status::Running, 1));
    assert_eq!(workflow.run("r", body).await, Ok(1));
    assert_eq!(bank.calls(), 4);
}

#[tokio::test]
async fn failed_finish_recomputes_the_result_from_records() {
    let store = FaultyStore::new(MemoryStore::new());
    let bank = Bank::default();
    let workflow = Workflow::new("w").store(store.clone());
    let body = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, bank.charge()));
    store.once(Call::Finish, Fault::Full);
    let full = workflow.run("r", body).await;
    assert!(matches!(full, Err(OrderError::Run(RunError::Store(_)))), "{full:?}");
    assert_eq!(workflow.run("r", body).await, Ok(1));
    assert_eq!(bank.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn body_sees_a_value_only_after_its_record_is_acknowledged() {
    let store = FaultyStore::new(MemoryStore::new());
    store.always(Call::Append, Fault::DelayAnswer(secs(60)));
    let bank = Bank::default();
    let workflow = Workflow::new("w").store(store);
    let seen_after = workflow.run("r", async |run| {
        let began = tokio::time::Instant::now();
        step!(run, bank.charge());
        Ok::<_, OrderError>(began.elapsed().as_secs())
    });
    assert_eq!(seen_after.await, Ok(60));
}

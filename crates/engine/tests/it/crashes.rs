use awaitly_core::clock::{mins, secs};
use awaitly_core::journal::{Outcome, Payload, Record};
use awaitly_core::store::{Claim, Dispatch, Durability, Owner, Store};
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::Worker;
use awaitly_persistence::MemoryStore;

use crate::world::{Claims, SUM, memory, sum, work};

/// Claims a run as a process does that dies at once.
async fn crash(store: &MemoryStore, progress: Option<u32>) {
    let claim = Claim::new(Owner::unique()).serve("sum", 1).ttl(secs(1));
    let claimed = store.claim(claim).await.unwrap();
    if let (Some(step), [held]) = (progress, &claimed.runs[..]) {
        let outcome = Outcome::Value(Payload::encode(&1).unwrap());
        let record = Record { key: format!("step {step}").into(), outcome, input: None };
        store.append(&held.lease, record, Durability::Sync).await.unwrap();
    }
    tokio::time::sleep(secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn run_that_kills_its_process_fails_and_others_complete() {
    let (store, client) = memory();
    let poisonous = client.start(SUM, "poisonous", &vec![1]).await.unwrap();
    for _ in 0..5 {
        crash(&store, None).await;
    }
    let other = client.start(SUM, "other", &vec![2]).await.unwrap();
    let worker = Worker::new(store).serve(SUM, sum);
    let results = work(&worker, async { (poisonous.result().await, other.result().await) }).await;
    assert_eq!(results, (Err(RunError::CrashedRepeatedly { run: "poisonous".into(), crashes: 5 }), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn run_that_progresses_between_crashes_completes() {
    let (store, client) = memory();
    let slow = client.start(SUM, "slow", &vec![1]).await.unwrap();
    for step in 0..20 {
        crash(&store, Some(step)).await;
    }
    let worker = Worker::new(store).serve(SUM, sum);
    assert_eq!(work(&worker, slow.result()).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn run_that_cannot_be_executed_rests_longer_each_time() {
    let (store, client) = memory();
    let run = client.start(SUM, "old", &vec![1]).await.unwrap();
    let parked = async |run: DurableRun, _: Vec<u64>| {
        step!(run.sleep("a while", secs(5)));
        Ok(1)
    };
    Worker::new(store.clone()).serve(SUM, parked).tick(secs(2)).await.unwrap();
    // Version 2 has no migration from version 1, so the run cannot be opened.
    let counted = Claims::counted(store.clone());
    let worker = Worker::new(counted.clone()).serve_with(SUM, |sums| sums.version(2), sum);
    worker.run_until(tokio::time::sleep(mins(10))).await.unwrap();
    assert!(counted.made() < 100, "{} claims in ten minutes", counted.made());
    let state = run.state().await.unwrap();
    assert!(state.to_string().starts_with("asleep"), "{state}");
    // The corrected code executes it.
    let corrected = Worker::new(store).serve(SUM, sum);
    assert_eq!(work(&corrected, run.result()).await, Ok(1));
}

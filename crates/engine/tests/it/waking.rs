//! Changes of the store during a claim.

use awaitly_core::clock::{ms, secs};
use awaitly_core::store::around::Call;
use awaitly_core::{DurableRun, RunError};
use awaitly_engine::{Contract, Queue, Worker};
use awaitly_persistence::MemoryStore;

use crate::world::{Distant, SUM, memory, sum};

const NAP: Contract<u64, u64, RunError> = Contract::new("nap");

async fn nap(_: DurableRun, millis: u64) -> Result<u64, RunError> {
    tokio::time::sleep(ms(millis)).await;
    Ok(millis)
}

fn late_claims(store: MemoryStore) -> Distant {
    Distant::new(store, ms(50), |call| call == Call::Claim)
}

#[tokio::test(start_paused = true)]
async fn run_that_starts_during_a_claim_is_claimed_next() {
    let (store, client) = memory();
    let worker = Worker::new(late_claims(store)).serve(SUM, sum).serve(NAP, nap).grace(secs(0));
    let test = async {
        tokio::time::sleep(secs(1)).await;
        client.start(NAP, "a", &60_000).await.unwrap();
        tokio::time::sleep(ms(20)).await;
        let begun = tokio::time::Instant::now();
        let late = client.start(SUM, "b", &vec![2]).await.unwrap();
        assert_eq!(late.result().await, Ok(2));
        assert!(begun.elapsed() < secs(1), "{:?}", begun.elapsed());
    };
    worker.run_until(test).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tick_executes_a_run_whose_place_becomes_free_during_a_claim() {
    let (store, client) = memory();
    let worker = Worker::new(late_claims(store)).serve(NAP, nap).queue(Queue::new("one").concurrency(1));
    for run in ["a", "b"] {
        client.start(NAP, run, &30).queue("one").await.unwrap();
    }
    let other = async {
        tokio::time::sleep(ms(60)).await;
        // The queue is still full in the claim that this change causes.
        client.pause_queue("other").await.unwrap();
    };
    let (ticked, ()) = tokio::join!(worker.tick(secs(5)), other);
    let ticked = ticked.unwrap();
    assert_eq!((ticked.executed, ticked.idle), (2, true));
}

#[tokio::test(start_paused = true)]
async fn longest_pause_between_claims_is_accepted() {
    let (store, client) = memory();
    let worker = Worker::new(store).serve(SUM, sum).poll_every(std::time::Duration::MAX);
    let test = async {
        tokio::time::sleep(secs(1)).await;
        let run = client.start(SUM, "a", &vec![1]).await.unwrap();
        assert_eq!(run.result().await, Ok(1));
    };
    worker.run_until(test).await.unwrap();
}

//! Workers resume runs whose question was answered.

use awaitly_core::clock::{days, hours, secs};
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::{Client, Contract, Worker};
use awaitly_hitl::{Approvals, Inbox};
use awaitly_persistence::MemoryStore;

use crate::world::waits;

const EXPENSE: Contract<u64, u64, RunError> = Contract::new("expense");

async fn expense(run: DurableRun, asked: u64) -> Result<u64, RunError> {
    let approved: bool = step!(run.approval("manager"));
    Ok(if approved { asked } else { 0 })
}

#[tokio::test(start_paused = true)]
async fn answered_run_is_resumed_by_a_worker() {
    let store = MemoryStore::new();
    let (client, inbox) = (Client::new(store.clone()), Inbox::new(store.clone()));
    let trip = client.start(EXPENSE, "trip-7", &4200).await.unwrap();
    let worker = Worker::new(store).serve(EXPENSE, expense);
    let answered = async {
        tokio::time::sleep(days(3)).await;
        assert_eq!(trip.state().await.unwrap().to_string(), "waiting for `manager`");
        inbox.approve("trip-7", "manager", &true).await.unwrap();
        assert_eq!(trip.result().await, Ok(4200));
    };
    worker.run_until(answered).await.unwrap();
    assert_eq!(client.doctor().await.unwrap().findings, []);
}

#[tokio::test(start_paused = true)]
async fn run_that_began_without_the_engine_is_resumed_by_a_worker() {
    const PLAIN: Contract<(), bool, RunError> = Contract::new("plain");
    let store = MemoryStore::new();
    let plain = awaitly_core::Workflow::new("plain").store(store.clone());
    let body = async |run: &DurableRun| run.approval("manager").await;
    assert_eq!(plain.run("a", body).await as Result<bool, _>, waits("manager"));
    Inbox::new(store.clone()).approve("a", "manager", &true).await.unwrap();
    let worker =
        Worker::new(store.clone()).serve(PLAIN, async |run: DurableRun, ()| run.approval("manager").await);
    assert_eq!(worker.tick(hours(1)).await.unwrap().executed, 1);
    assert_eq!(plain.run("a", body).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiting_runs_hold_no_task() {
    let store = MemoryStore::new();
    let client = Client::new(store.clone());
    let trips = (0..10_000_u64).map(|number| (format!("trip-{number}"), number));
    let trips = client.start_many(EXPENSE, trips).await.unwrap();
    let worker = Worker::new(store.clone()).serve(EXPENSE, expense);
    assert!(worker.tick(secs(60)).await.unwrap().idle);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    Inbox::new(store).everywhere("manager", |reply| reply.approve(&true)).await.unwrap();
    assert_eq!(worker.tick(secs(60)).await.unwrap().executed, 10_000);
    assert_eq!(trips[9_999].as_ref().unwrap().result().await, Ok(9_999));
}

//! Retries that survive a crash, and refusals, which are not attempts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly::clock::{hours, mins, secs};
use awaitly::guard::Refusal;
use awaitly::journal::Status;
use awaitly::persistence::MemoryStore;
use awaitly::retry::Jitter;
use awaitly::store::Store;
use awaitly::{DurableRun, Error, Retry, RunError, Workflow, run, step};

use super::{id, is_due, status};
use crate::durable::{Bank, Declined, OrderError};

/// Creates a guard that refuses a number of times, with or without a time to wait.
fn closed(refusals: u32, retry_after: Option<Duration>) -> impl Fn() -> Result<(), Refusal> {
    let refusals = AtomicU32::new(refusals);
    move || {
        let refused = refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let refusal = Refusal::new("closed", "not open yet");
        match (refused, retry_after) {
            (Err(_), _) => Ok(()),
            (Ok(_), Some(after)) => Err(refusal.with_retry_after(after)),
            (Ok(_), None) => Err(refusal),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_count_across_executions() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    bank.fail.store(100, Ordering::Relaxed);
    let workflow = Workflow::new("pay").store(store.clone());
    let body = async |run: &DurableRun| -> Result<u32, OrderError> {
        let retry = Retry::fixed(mins(1)).max_delay(mins(1)).jitter(Jitter::None).attempts(4);
        Ok(step!(run, "charge", retry = retry, bank.charge()))
    };
    // The process dies between the second attempt and the third.
    assert!(tokio::time::timeout(secs(90), workflow.run("r", body)).await.is_err());
    assert_eq!(bank.calls(), 2);
    let began = tokio::time::Instant::now();
    assert_eq!(workflow.run("r", body).await, Err(OrderError::Declined(4)));
    assert_eq!(bank.calls(), 4, "four attempts in total");
    let waited = began.elapsed().as_secs();
    assert!((85..=91).contains(&waited), "the rest of one delay and a full one: {waited} s");
    let records = store.load(&id("r")).await.unwrap().unwrap().records;
    assert_eq!(records.len(), 1, "the outcome replaces the count of attempts");
}

#[tokio::test(start_paused = true)]
async fn long_backoff_parks_the_run() {
    let (store, bank) = (MemoryStore::new(), Bank::default());
    bank.fail.store(2, Ordering::Relaxed);
    let workflow = Workflow::new("pay").store(store.clone()).park_after(secs(10));
    let body = async |run: &DurableRun| -> Result<u32, OrderError> {
        let retry = Retry::fixed(hours(1)).max_delay(hours(1)).jitter(Jitter::None);
        Ok(step!(run, "charge", retry = retry, bank.charge()))
    };
    for calls in 1..=2 {
        let waits: OrderError = RunError::Waiting { step: "charge".into() }.into();
        assert_eq!(workflow.run("r", body).await, Err(waits.clone()));
        assert_eq!(workflow.run("r", body).await, Err(waits), "the delay has not ended");
        assert_eq!((bank.calls(), status(&store, "r").await), (calls, Status::Waiting));
        assert!(!is_due(&store, "r").await);
        tokio::time::sleep(hours(1)).await;
        assert!(is_due(&store, "r").await);
    }
    assert_eq!(workflow.run("r", body).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn refusal_delays_the_step_without_an_attempt() {
    let (closed, bank) = (closed(20, Some(secs(2))), Bank::default());
    let began = tokio::time::Instant::now();
    let charged = run(async |run| {
        let retry = Retry::fixed(secs(1)).attempts(1);
        Ok::<u32, OrderError>(step!(run, "charge", retry = retry, guard = &closed, bank.charge()))
    })
    .await;
    assert_eq!((charged, bank.calls()), (Ok(1), 1));
    assert_eq!(began.elapsed().as_secs(), 40);
}

#[tokio::test(start_paused = true)]
async fn volatile_step_waits_a_minute_for_its_guard() {
    let refused = async |retry: Retry| {
        let closed = closed(u32::MAX, Some(secs(7)));
        let began = tokio::time::Instant::now();
        let ended = run(async |run| {
            run.step("charge", async || Err::<u32, _>(Declined(1))).retry(retry).guard(&closed).await
        })
        .await;
        assert!(matches!(ended, Err(Error::Run(RunError::Refused { .. }))), "{ended:?}");
        began.elapsed().as_secs()
    };
    assert_eq!(refused(Retry::fixed(secs(1))).await, 56);
    assert_eq!(refused(Retry::fixed(secs(1)).refused_for(secs(10))).await, 7);
}

#[tokio::test(start_paused = true)]
async fn step_without_retry_fails_at_the_first_refusal() {
    let closed = closed(1, Some(secs(2)));
    let ended =
        run(async |run| run.step("charge", async || Ok::<u32, Declined>(1)).guard(&closed).await).await;
    assert!(matches!(ended, Err(Error::Run(RunError::Refused { .. }))), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn refused_durable_step_parks_until_the_guard_admits_it() {
    let (store, bank, closed) = (MemoryStore::new(), Bank::default(), closed(3, Some(hours(2))));
    let workflow = Workflow::new("pay").store(store.clone()).park_after(secs(10));
    let body = async |run: &DurableRun| -> Result<u32, OrderError> {
        Ok(step!(run, "charge", retry = Retry::fixed(secs(1)).attempts(1), guard = &closed, bank.charge()))
    };
    for _ in 0..3 {
        assert!(matches!(workflow.run("r", body).await, Err(OrderError::Run(RunError::Waiting { .. }))));
        assert!(!is_due(&store, "r").await);
        tokio::time::sleep(hours(2)).await;
        assert!(is_due(&store, "r").await);
    }
    assert_eq!((workflow.run("r", body).await, bank.calls()), (Ok(1), 1));
}

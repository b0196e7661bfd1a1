//! Connections that go silent: they stay open, nothing comes over them any more, and new ones work.

use std::time::Duration;

use awaitly_core::journal::Status;
use awaitly_core::journal::{Kind, Outcome, Payload, Settling};
use awaitly_core::store::{
    Answer, DeleteIf, DueQuery, Durability, Ending, OnRecorded, Operate, RunQuery, Store, StoreError,
    Transactional,
};
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use super::Schema;
use crate::behind::Behind;
use crate::given::{begin, hold, question, request, run_id, value};
use crate::proxy::Way;

const PATIENCE: Duration = Duration::from_secs(6);

fn one() -> Outcome {
    Outcome::from_parts(Kind::Value, Payload::from_stored("1"))
}

#[tokio::test]
async fn silent_connections_answer_every_call_within_patience() {
    let behind = Behind::<Schema>::new(PATIENCE).await;
    let store = &behind.far;
    let held = begin(store, "held").await;
    for key in ["asked", "settled"] {
        store.wait(&held, question(key, key)).await.unwrap();
    }
    let ending = begin(store, "ending").await;
    let paid = begin(store, "paid").await;
    for free in ["free", "old"] {
        store.release(&begin(store, free).await);
    }
    // The pool is full of connections that nobody uses.
    join_all((0..8).map(|_| store.load(held.run()))).await;
    let transaction = Transactional::begin(store).await.unwrap();
    behind.proxy.silence();

    let began = Instant::now();
    let calls: Vec<(&str, BoxFuture<'_, Result<(), StoreError>>)> = vec![
        // These come first, to the connections that are idle.
        ("load", Box::pin(async { store.load(held.run()).await.map(drop) })),
        ("list", Box::pin(async { store.list(RunQuery::new()).await.map(drop) })),
        ("append", Box::pin(store.append(&held, value("charge", "1"), Durability::Sync))),
        ("renew", Box::pin(async { store.renew(&held, PATIENCE).await.map(drop) })),
        ("finish", Box::pin(store.finish(&ending, Ending::new(Status::Completed)))),
        ("begin", Box::pin(async { store.open(request("new")).await.map(drop) })),
        ("open", Box::pin(async { store.open(request("free")).await.map(drop) })),
        ("replace", Box::pin(store.replace(&held, value("stock", "1"), Durability::Sync))),
        ("wait", Box::pin(store.wait(&held, question("late", "late")))),
        (
            "settle",
            Box::pin(async {
                store.settle(&held, value("settled", "1"), Settling::Withdraw).await.map(drop)
            }),
        ),
        ("revive", Box::pin(store.revive(&paid, vec![]))),
        ("due", Box::pin(async { store.due(DueQuery::new()).await.map(drop) })),
        ("now", Box::pin(async { store.now().await.map(drop) })),
        (
            "answer",
            Box::pin(async {
                let answered = store.answer(Answer::new(run_id("held"), "asked", one())).await?;
                assert_eq!(answered, Ok(()));
                Ok(())
            }),
        ),
        ("delete", Box::pin(async { store.delete(vec![run_id("old")], DeleteIf::Free).await.map(drop) })),
        ("begin a transaction", Box::pin(async { Transactional::begin(store).await.map(drop) })),
    ];
    let calls = calls.into_iter().map(|(call, answer)| async move { (call, answer.await, began.elapsed()) });
    let commit = store.commit(transaction, &paid, value("pay", "1"), OnRecorded::Refuse);
    let (answers, committed) = tokio::join!(join_all(calls), commit);
    for (call, answer, took) in answers {
        assert_eq!(answer, Ok(()), "{call} after {took:?}");
        assert!(took < PATIENCE, "{call} took {took:?}");
    }
    assert!(matches!(committed, Err(StoreError::Unavailable { .. })), "{committed:?}");
    assert!(began.elapsed() < PATIENCE, "the commit took {:?}", began.elapsed());
}

#[tokio::test]
async fn reads_that_fall_silent_are_answered_within_patience() {
    let behind = Behind::<Schema>::new(PATIENCE).await;
    let lease = begin(&behind.far, "order-42").await;
    behind.far.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    let began = Instant::now();
    behind.proxy.set(Way::FallsSilentAt("order-42"));
    let stored = behind.far.load(lease.run()).await.unwrap().unwrap();
    assert_eq!(behind.proxy.way(), Way::Open, "no connection fell silent");
    assert_eq!(stored.records.len(), 1);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn calls_given_up_in_silence_leave_no_pool_exhausted() {
    let behind = Behind::<Schema>::new(PATIENCE).await;
    let lease = begin(&behind.far, "order-42").await;
    join_all((0..8).map(|_| behind.far.load(lease.run()))).await;
    for _ in 0..3 {
        behind.proxy.set(Way::FallsSilentAt("order-42"));
        let given_up = tokio::time::timeout(Duration::from_millis(100), behind.far.load(lease.run())).await;
        assert!(given_up.is_err());
        assert_eq!(behind.proxy.way(), Way::Open, "no connection fell silent");
    }
    let began = Instant::now();
    behind.far.release(&lease);
    hold(&behind.far, request("order-42")).await;
    assert!(began.elapsed() < PATIENCE / 3, "{:?}", began.elapsed());
}

#[tokio::test]
async fn transactions_dropped_in_silence_leave_no_pool_exhausted() {
    let behind = Behind::<Schema>::new(PATIENCE).await;
    let lease = begin(&behind.far, "order-42").await;
    let transactions = join_all((0..3).map(|_| Transactional::begin(&behind.far))).await;
    behind.proxy.silence();
    assert!(transactions.iter().all(Result::is_ok));
    drop(transactions);
    let began = Instant::now();
    behind.far.load(lease.run()).await.unwrap();
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

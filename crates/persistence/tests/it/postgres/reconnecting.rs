//! Connections that are cut, and a server that is away for a while.

use std::time::Duration;

use awaitly_core::journal::Status;
use awaitly_core::store::{DueQuery, Ending, Lease, Operate, Store, StoreError};
use awaitly_persistence::PostgresStore;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::Schema;
use crate::behind;
use crate::clock::fast;
use crate::given::{append, begin, hold, keys, request, run_id, value};
use crate::proxy::Way;

type Behind = behind::Behind<Schema>;

impl Behind {
    /// Does something that names `text`, whose answer is lost at first.
    async fn with_a_lost_answer<T>(&self, text: &'static str, doing: impl Future<Output = T>) -> T {
        self.proxy.set(Way::LosesTheAnswerTo(text));
        let done = doing.await;
        assert_eq!(self.proxy.way(), Way::Open, "no answer was lost");
        done
    }
}

const LONG: Duration = Duration::from_secs(20);

/// So that the statement that follows is prepared, and its answer is that of its execution.
async fn warm(store: &PostgresStore, lease: &Lease) {
    append(store, lease, value("warm", "1")).await.unwrap();
}

#[tokio::test]
async fn append_with_lost_answer_is_acknowledged_once() {
    let behind = Behind::new(LONG).await;
    let lease = begin(&behind.far, "order-42").await;
    warm(&behind.far, &lease).await;
    behind.with_a_lost_answer("charge", append(&behind.far, &lease, value("charge", "1"))).await.unwrap();
    assert_eq!(keys(&behind.near, "order-42").await, ["warm", "charge"]);
    let refused = StoreError::AlreadyRecorded { run: "order-42".into(), key: "charge".into() };
    assert_eq!(
        append(&behind.far, &lease, value("charge", "1")).await,
        Err(refused),
        "another append is another"
    );
}

#[tokio::test]
async fn appends_sharing_a_lost_answer_are_acknowledged_once() {
    let behind = Behind::new(LONG).await;
    let runs: Vec<_> = (0..32).map(|number| format!("order-{number}")).collect();
    let leases = join_all(runs.iter().map(|run| begin(&behind.far, run))).await;
    for key in ["a", "b"] {
        join_all(leases.iter().map(|lease| append(&behind.far, lease, value(key, "1")))).await;
    }
    let appends = join_all(leases.iter().map(|lease| append(&behind.far, lease, value("charge", "1"))));
    let fates = behind.with_a_lost_answer("charge", appends).await;
    assert!(fates.iter().all(Result::is_ok), "{fates:?}");
    for run in &runs {
        assert_eq!(keys(&behind.near, run).await, ["a", "b", "charge"]);
    }
}

#[tokio::test]
async fn finish_with_lost_answer_is_acknowledged_only_once() {
    let behind = Behind::new(LONG).await;
    let warm = begin(&behind.far, "order-41").await;
    behind.far.finish(&warm, Ending::new(Status::Completed)).await.unwrap();
    let lease = begin(&behind.far, "order-42").await;
    let ending = Ending { error: Some("so that it is seen".into()), ..Ending::new(Status::Failed) };
    let finish = behind.far.finish(&lease, ending.clone());
    behind.with_a_lost_answer("so that it is seen", finish).await.unwrap();
    assert_eq!(behind.near.load(&run_id("order-42")).await.unwrap().unwrap().header.status, Status::Failed);
    let again = behind.far.finish(&lease, ending).await;
    assert_eq!(again, Err(StoreError::LeaseLost { run: "order-42".into() }));
}

#[tokio::test]
async fn lease_whose_answer_was_lost_arrives() {
    let behind = Behind::new(LONG).await;
    begin(&behind.far, "order-41").await;
    let begun = behind.with_a_lost_answer("order-42", begin(&behind.far, "order-42")).await;
    append(&behind.far, &begun, value("charge", "1")).await.unwrap();
    behind.far.release(&begun);
    let (taken, run) = behind.with_a_lost_answer("order-42", hold(&behind.far, request("order-42"))).await;
    assert_eq!((taken.token(), run.records.len()), (begun.token() + 1, 1), "it was taken once");
    append(&behind.far, &taken, value("ship", "1")).await.unwrap();
}

#[tokio::test]
async fn queued_append_is_written_when_server_returns() {
    let behind = Behind::new(LONG).await;
    let lease = begin(&behind.far, "order-42").await;
    behind.proxy.set(Way::Closed);
    let (appended, listed, ()) = tokio::join!(
        append(&behind.far, &lease, value("charge", "1")),
        behind.far.due(DueQuery::new()),
        async {
            // Long enough that both have met the closed door.
            behind.proxy.called(6).await;
            behind.proxy.reopen().await;
        }
    );
    appended.unwrap();
    listed.unwrap();
    assert_eq!(keys(&behind.near, "order-42").await, ["charge"]);
}

#[tokio::test]
async fn store_recovers_after_server_was_unavailable() {
    let behind = Behind::new(Duration::from_millis(200)).await;
    let lease = begin(&behind.far, "order-42").await;
    behind.proxy.set(Way::Closed);
    for fate in [
        fast(append(&behind.far, &lease, value("charge", "1"))).await,
        fast(behind.far.finish(&lease, Ending::new(Status::Completed))).await,
        fast(behind.far.revive(&lease, vec![])).await,
        fast(behind.far.renew(&lease, LONG)).await.map(drop),
        fast(behind.far.load(&run_id("order-42"))).await.map(drop),
        fast(behind.far.open(request("order-43"))).await.map(drop),
    ] {
        assert!(matches!(fate, Err(StoreError::Unavailable { .. })), "{fate:?}");
    }
    behind.proxy.set(Way::Open);
    append(&behind.far, &lease, value("ship", "1")).await.unwrap();
    assert_eq!(keys(&behind.near, "order-42").await, ["ship"]);
}

#[tokio::test]
async fn runs_that_begin_without_a_server_fail_within_patience() {
    let patience = Duration::from_secs(30);
    let behind = Behind::new(patience).await;
    let held = begin(&behind.far, "held").await;
    behind.proxy.set(Way::Closed);
    let began = Instant::now();
    let opened = async |number: usize| {
        let fate = behind.far.open(request(&format!("order-{number}"))).await;
        (fate.map(drop), began.elapsed())
    };
    let calls = behind.proxy.calls();
    // The others meet a lane that is busy with the first.
    let others = async {
        while behind.proxy.calls() == calls {
            tokio::task::yield_now().await;
        }
        join_all((1..16).map(opened)).await
    };
    // A lane renews leases before it begins runs.
    let renewal = async {
        tokio::time::sleep(patience / 3 * 2).await;
        behind.far.renew(&held, LONG).await
    };
    let (first, others, renewed) = fast(async { tokio::join!(opened(0), others, renewal) }).await;
    assert!(matches!(renewed, Err(StoreError::Unavailable { .. })), "{renewed:?}");
    for (fate, took) in others.into_iter().chain([first]) {
        assert!(matches!(fate, Err(StoreError::Unavailable { .. })), "{fate:?}");
        assert!(took <= patience + Duration::from_secs(2), "{took:?}");
    }
}

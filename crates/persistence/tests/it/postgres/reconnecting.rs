//! Connections that are cut, and a server that is away for a while.

use std::time::Duration;

use awaitly_core::store::{Store, StoreError};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::Schema;
use crate::behind::{self, Served};
use crate::clock::fast;
use crate::given::{append, begin, hold, request, value};
use crate::proxy::Way;

type Behind = behind::Behind<Schema>;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn lease_whose_answer_was_lost_arrives() {
    let behind = Behind::new(LONG).await;
    begin(&behind.far, "order-41").await;
    let begun = Schema::losing_the_answer(&behind.proxy, "order-42", begin(&behind.far, "order-42")).await;
    append(&behind.far, &begun, value("charge", "1")).await.unwrap();
    behind.far.release(&begun);
    let (taken, run) =
        Schema::losing_the_answer(&behind.proxy, "order-42", hold(&behind.far, request("order-42"))).await;
    assert_eq!((taken.token(), run.records.len()), (begun.token() + 1, 1), "it was taken once");
    append(&behind.far, &taken, value("ship", "1")).await.unwrap();
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

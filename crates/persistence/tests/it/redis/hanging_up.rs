//! A server that hangs up on a call, each time that it comes.

use awaitly_core::store::{Durability, Operate, Store, StoreError, StoredRun};
use futures_util::future::join_all;

use super::InRedis;
use super::connection::behind_proxy;
use crate::given::{append, begin, records, run_id, value};
use crate::proxy::Way;

#[tokio::test]
async fn call_that_hangs_up_spares_other_calls() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let runs: Vec<_> = (0..8).map(|number| format!("order-{number}")).collect();
    let leases = join_all(runs.iter().map(|run| begin(&far, run))).await;
    let (large, others) = leases.split_first().unwrap();
    proxy.set(Way::HangsUpOn("too large"));
    let large = append(&far, large, value("charge", "\"too large\""));
    let others = async {
        let appends = others.iter().map(|lease| append(&far, lease, value("charge", "1")));
        let fates = join_all(appends).await;
        assert_eq!(records(&near, "order-0").await, [], "it has not gone through");
        proxy.set(Way::Open);
        fates
    };
    let (large, others) = tokio::join!(large, others);
    assert_eq!(large, Ok(()));
    assert_eq!(others, vec![Ok(()); 7]);
    for run in &runs[1..] {
        assert_eq!(records(&near, run).await, [value("charge", "1")]);
    }
}

#[tokio::test]
async fn later_call_of_run_does_not_overtake_hung_call() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    let other = begin(&far, "order-43").await;
    proxy.set(Way::HangsUpOn("too large"));
    let first = far.replace(&lease, value("stage", "\"too large\""), Durability::Sync);
    let second = far.replace(&lease, value("stage", "\"second\""), Durability::Sync);
    let other = async {
        let appended = append(&far, &other, value("charge", "1")).await;
        proxy.set(Way::Open);
        appended
    };
    assert_eq!(tokio::join!(first, second, other), (Ok(()), Ok(()), Ok(())));
    assert_eq!(records(&near, "order-42").await, [value("stage", "\"second\"")]);
}

#[tokio::test]
async fn import_with_too_many_records_is_refused() {
    let InRedis { store, place: _keys } = InRedis::new().await;
    begin(&store, "order-1").await;
    let stored = store.load(&run_id("order-1")).await.unwrap().unwrap();
    let records = (0..250_001).map(|number| value(&number.to_string(), "\"\"")).collect();
    let refused = store.import(run_id("order-42"), StoredRun { records, ..stored }).await;
    assert!(matches!(refused, Err(StoreError::Unstorable { .. })), "{refused:?}");
}

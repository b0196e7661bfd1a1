//! Connections that are lost.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use awaitly_core::journal::{Contents, Kind, Outcome, Payload, Refused, Status};
use awaitly_core::store::{
    Answer, Cancelled, DeleteIf, Durability, Ending, Opened, Operate, Purpose, Rewrite, Store, StoreError,
};
use awaitly_persistence::RedisStore;
use futures_util::future::join_all;

use super::{Keys, PATIENCE};
use crate::behind::Behind;
use crate::given::{append, begin, hold, question, records, request, run_id, value};
use crate::proxy::{Proxy, Way};

/// A store behind a proxy, beside one that is not.
pub(super) async fn behind_proxy() -> (Proxy, RedisStore, RedisStore, Keys) {
    let Behind { proxy, far, near, place } = Behind::<Keys>::new(PATIENCE).await;
    (proxy, far, near, place)
}

/// Does something whose answer is lost at first.
pub(super) async fn with_a_lost_answer<T>(proxy: &Proxy, doing: impl Future<Output = T>) -> T {
    disturbed(proxy, Way::LosesTheAnswerTo("EVALSHA"), doing).await
}

/// Does something on a way that is open again once it has disturbed, and whose disturbance costs no time.
async fn disturbed<T>(proxy: &Proxy, way: Way, doing: impl Future<Output = T>) -> T {
    proxy.set(way);
    let mut doing = pin!(doing);
    let disturbing = async {
        proxy.until(Way::Open).await;
        proxy.next_call().await;
    };
    let done = tokio::select! {
        done = &mut doing => done,
        () = disturbing => doing.await,
    };
    assert_eq!(proxy.way(), Way::Open, "nothing was disturbed");
    done
}

#[tokio::test]
async fn refused_append_with_lost_answer_stays_refused() {
    let (proxy, far, _near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    append(&far, &lease, value("charge", "1")).await.unwrap();
    let refusal = with_a_lost_answer(&proxy, append(&far, &lease, value("charge", "1"))).await;
    let refused = StoreError::AlreadyRecorded { run: "order-42".into(), key: "charge".into() };
    assert_eq!(refusal, Err(refused));
}

#[tokio::test]
async fn lease_whose_answer_was_lost_arrives() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let (begun, _) = with_a_lost_answer(&proxy, hold(&far, request("order-42").ttl(Duration::ZERO))).await;
    append(&far, &begun, value("charge", "1")).await.unwrap();
    let other = with_a_lost_answer(&proxy, begin(&far, "order-43")).await;
    append(&far, &other, value("charge", "1")).await.unwrap();
    // Only what takes the run over tells from whom.
    let holder = format!("{:x}", begun.slot().cast_unsigned());
    let taken = begin(&far, "order-42");
    let taken = disturbed(&proxy, Way::LosesTheAnswerTo(holder.leak()), taken).await;
    assert_eq!(taken.token(), begun.token() + 1, "it was taken once");
    append(&far, &taken, value("ship", "1")).await.unwrap();
    assert_eq!(records(&near, "order-42").await, [value("charge", "1"), value("ship", "1")]);
}

#[tokio::test]
async fn concurrent_takeovers_grant_one_lease() {
    let (_proxy, far, near, _keys) = behind_proxy().await;
    hold(&near, request("order-42").ttl(Duration::ZERO)).await;
    let opening = (0..16).map(|number| if number % 2 == 0 { &far } else { &near }.open(request("order-42")));
    let opened = join_all(opening).await;
    let leases = opened.iter().filter(|opened| matches!(opened, Ok(Opened::Held { .. }))).count();
    let busy =
        opened.iter().filter(|opened| matches!(opened, Ok(Opened::Refused(Refused::Busy { .. })))).count();
    assert_eq!((leases, busy), (1, 15), "{opened:?}");
}

#[tokio::test]
async fn wait_resent_after_its_answer_is_acknowledged() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    let asking = far.wait(&lease, question("manager", "s3cret"));
    assert_eq!(answered_before_its_answer_came(&proxy, asking, &near).await, Ok(()));
    let again = far.wait(&lease, question("manager", "s3cret")).await;
    let refused = StoreError::AlreadyRecorded { run: "order-42".into(), key: "manager".into() };
    assert_eq!(again, Err(refused));
}

#[tokio::test]
async fn resent_revive_or_rewrite_keeps_later_answer() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    for rewrites in [false, true] {
        let (lease, _) = hold(&far, request("order-42").ttl(Duration::ZERO)).await;
        far.wait(&lease, question("manager", "s3cret")).await.unwrap();
        let fate = if rewrites {
            let waits = near.load(&run_id("order-42")).await.unwrap().unwrap().waits;
            let contents = Contents { records: vec![value("pay", "1")], waits, ..Contents::default() };
            let rewrite = Rewrite::new(7, contents.clone(), &contents.waits);
            answered_before_its_answer_came(&proxy, far.rewrite(&lease, rewrite), &near).await
        } else {
            answered_before_its_answer_came(&proxy, far.revive(&lease, vec!["manager".into()]), &near).await
        };
        assert_eq!(fate, Ok(()));
        let recorded = records(&near, "order-42").await;
        assert!(recorded.iter().any(|record| *record.key == *"manager"), "{recorded:?}");
        assert_eq!(near.delete(vec![run_id("order-42")], DeleteIf::Free).await.unwrap().len(), 1);
    }
}

/// Does something whose answer is lost, and lets nothing through before somebody else has answered.
async fn answered_before_its_answer_came<T>(
    proxy: &Proxy,
    doing: impl Future<Output = T>,
    near: &RedisStore,
) -> T {
    let answering = async {
        let yes = Outcome::from_parts(Kind::Value, Payload::encode("yes").unwrap());
        let answer = Answer::new(run_id("order-42"), "manager", yes);
        assert_eq!(near.answer(answer).await.unwrap(), Ok(()));
    };
    before_its_answer_came(proxy, doing, answering).await
}

/// Does something whose answer is lost, and lets nothing through before something else was done.
pub(super) async fn before_its_answer_came<T>(
    proxy: &Proxy,
    doing: impl Future<Output = T>,
    meanwhile: impl Future<Output = ()>,
) -> T {
    before_the_answer_came_to("EVALSHA", proxy, doing, meanwhile).await
}

/// The same for the answer to the first of several calls that holds this text.
pub(super) async fn before_the_answer_came_to<T>(
    text: &'static str,
    proxy: &Proxy,
    doing: impl Future<Output = T>,
    meanwhile: impl Future<Output = ()>,
) -> T {
    proxy.set(Way::LosesTheAnswerAndCloses(text));
    let interfering = async {
        proxy.until(Way::Closed).await;
        meanwhile.await;
        proxy.reopen().await;
    };
    tokio::join!(doing, interfering).0
}

#[tokio::test]
async fn operator_call_with_lost_answer_takes_effect_once() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let run = || run_id("order-42");
    let lease = begin(&far, "order-42").await;
    far.wait(&lease, question("manager", "s3cret")).await.unwrap();
    far.finish(&lease, Ending::new(Status::Waiting)).await.unwrap();

    let yes = Outcome::Value(Payload::encode("yes").unwrap());
    // Not the one to the look that comes before.
    let answered = far.answer(Answer::new(run(), "manager", yes));
    let answered = disturbed(&proxy, Way::LosesTheAnswerTo("yes"), answered).await.unwrap();
    assert_eq!(answered, Ok(()));
    let cancelled = with_a_lost_answer(&proxy, far.cancel_without_undo(&run())).await.unwrap();
    assert_eq!(cancelled, Cancelled::WithoutUndo);
    assert_eq!(far.cancel_without_undo(&run()).await.unwrap(), Cancelled::Ended(Status::Cancelled));
    let stored = near.load(&run()).await.unwrap().unwrap();
    let imported = with_a_lost_answer(&proxy, far.import(run_id("copy"), stored.clone())).await.unwrap();
    assert!(imported);
    assert!(!far.import(run_id("copy"), stored).await.unwrap());
    let deleted = with_a_lost_answer(&proxy, far.delete(vec![run()], DeleteIf::Free)).await;
    assert!(matches!(deleted, Err(StoreError::Unavailable { .. })), "it may have happened: {deleted:?}");
    assert_eq!(near.load(&run()).await.unwrap(), None, "and it has");
}

#[tokio::test]
async fn revive_and_rewrite_with_lost_answer_are_acknowledged() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    append(&far, &lease, value("charge", "1")).await.unwrap();
    far.finish(&lease, Ending::new(Status::Failed)).await.unwrap();
    let (lease, _) = hold(&far, request("order-42").purpose(Purpose::Retry)).await;
    with_a_lost_answer(&proxy, far.revive(&lease, vec!["charge".into()])).await.unwrap();
    let (version, rewritten) = (7, vec![value("pay", "1")]);
    let contents = Contents { records: rewritten.clone(), ..Contents::default() };
    with_a_lost_answer(&proxy, far.rewrite(&lease, Rewrite::new(version, contents, []))).await.unwrap();
    let stored = near.load(&run_id("order-42")).await.unwrap().unwrap();
    assert_eq!((stored.header.version, stored.records), (version, rewritten));
}

#[tokio::test]
async fn first_attempt_that_arrives_late_is_not_carried_out() {
    let (mut proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    let first = far.replace(&lease, value("stage", "\"first\""), Durability::Sync);
    disturbed(&proxy, Way::HoldsARequest, first).await.unwrap();
    let late = proxy.held().await;
    far.replace(&lease, value("stage", "\"second\""), Durability::Sync).await.unwrap();
    assert!(!late.arrive().await, "the server has closed that connection");
    assert_eq!(records(&near, "order-42").await, [value("stage", "\"second\"")]);
}

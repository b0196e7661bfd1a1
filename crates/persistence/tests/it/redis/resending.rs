//! Writes that are sent again after somebody else has changed the run.

use awaitly_core::journal::{Payload, Status};
use awaitly_core::store::{
    Cancelled, Dispatch, Ending, Lease, Message, Operate, Purpose, PutSchedule, ScheduleQuery, Store,
};
use awaitly_persistence::RedisStore;

use super::connection::{before_its_answer_came, behind_proxy};
use crate::given::{begin, hold, request, run_id};

/// Somebody tries the run once more.
async fn retried(store: &RedisStore) -> Lease {
    let (lease, _) = hold(store, request("order-42").purpose(Purpose::Retry)).await;
    store.revive(&lease, vec![]).await.unwrap();
    lease
}

/// What has become of the run, and whether it is to be cancelled.
async fn state(store: &RedisStore) -> (Status, bool) {
    let header = store.load(&run_id("order-42")).await.unwrap().unwrap().header;
    (header.status, header.cancel_requested)
}

#[tokio::test]
async fn resent_cancellation_leaves_retried_run_alone() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    far.finish(&lease, Ending::new(Status::Waiting)).await.unwrap();
    let run = run_id("order-42");
    let meanwhile = async {
        let lease = retried(&near).await;
        near.release(&lease);
    };
    let cancelled = before_its_answer_came(&proxy, far.cancel_without_undo(&run), meanwhile).await;
    assert_eq!(cancelled, Ok(Cancelled::WithoutUndo));
    assert_eq!(state(&near).await, (Status::Running, false));
    let again = far.cancel_without_undo(&run).await;
    assert_eq!(again, Ok(Cancelled::WithoutUndo), "another cancellation is another");
}

#[tokio::test]
async fn resent_cancel_request_leaves_retried_run_alone() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    let run = run_id("order-42");
    let meanwhile = async {
        near.finish(&lease, Ending::new(Status::Cancelled)).await.unwrap();
        retried(&near).await;
    };
    let cancelled = before_its_answer_came(&proxy, far.cancel(&run), meanwhile).await;
    assert_eq!(cancelled, Ok(Cancelled::Requested));
    assert_eq!(state(&near).await, (Status::Running, false));
}

#[tokio::test]
async fn resent_finish_is_acknowledged_after_cancellation() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    let cancelling = async {
        assert_eq!(near.cancel_without_undo(&run_id("order-42")).await, Ok(Cancelled::WithoutUndo));
    };
    let finishing = far.finish(&lease, Ending::new(Status::Waiting));
    assert_eq!(before_its_answer_came(&proxy, finishing, cancelling).await, Ok(()));
    assert_eq!(state(&near).await, (Status::Cancelled, false));
}

#[tokio::test]
async fn resent_import_is_acknowledged_after_run_was_opened() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&near, "order-41").await;
    near.finish(&lease, Ending::new(Status::Waiting)).await.unwrap();
    let stored = near.load(&run_id("order-41")).await.unwrap().unwrap();
    let importing = far.import(run_id("order-42"), stored);
    let taking = async {
        retried(&near).await;
    };
    assert_eq!(before_its_answer_came(&proxy, importing, taking).await, Ok(true));
    assert_eq!(state(&near).await, (Status::Running, false));
}

#[tokio::test]
async fn resent_message_is_sent_once_even_if_it_was_received() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&near, "order-42").await;
    let message = Message::new(run_id("order-42"), "note", Payload::encode("hello").unwrap());
    let receive = async |key: &str| near.receive(&lease, "note".into(), key.to_owned().into()).await.unwrap();
    let receiving = async {
        assert!(receive("first").await.is_some());
    };
    let sent = before_its_answer_came(&proxy, far.send(vec![message.clone()]), receiving).await;
    assert_eq!(sent, Ok(vec![Ok(())]));
    assert_eq!(receive("second").await, None);
    assert_eq!(far.send(vec![message]).await, Ok(vec![Ok(())]), "another message is another");
    assert!(receive("second").await.is_some());
}

#[tokio::test]
async fn resent_schedule_is_acknowledged_after_another_change() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let put = |version, rule: &str| {
        let put = Some((None, Payload::encode(rule).unwrap()));
        vec![PutSchedule { name: "nightly".into(), version, put }]
    };
    let stored = async || near.schedules(ScheduleQuery::new()).await.unwrap().remove(0);
    let changing = async {
        let first = stored().await.version;
        assert_eq!(near.put_schedules(put(Some(first), "second")).await, Ok(vec![true]));
    };
    let made = before_its_answer_came(&proxy, far.put_schedules(put(None, "first")), changing).await;
    assert_eq!(made, Ok(vec![true]));
    assert_eq!(stored().await.rule, Payload::encode("second").unwrap());
}

#[tokio::test]
async fn resent_restart_is_acknowledged_after_run_was_opened() {
    let (proxy, far, near, _keys) = behind_proxy().await;
    let lease = begin(&far, "order-42").await;
    let opening = async {
        let (lease, _) = hold(&near, request("order-42")).await;
        near.revive(&lease, vec![]).await.unwrap();
    };
    assert_eq!(before_its_answer_came(&proxy, far.restart(&lease, None), opening).await, Ok(()));
    assert_eq!(state(&near).await, (Status::Running, false));
}

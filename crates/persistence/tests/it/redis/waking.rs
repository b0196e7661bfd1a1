use std::time::Duration;

use awaitly_core::journal::{Outcome, Payload, Status};
use awaitly_core::store::{Answer, Ending, Operate, Store};

use super::{InRedis, Keys, PATIENCE};
use crate::behind::Behind;
use crate::given::{begin, question, run_id, told};
use crate::proxy::Way;

#[tokio::test]
async fn store_wakes_after_changes_by_another_store() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let other = keys.options().connect(super::url()).await.unwrap();
    let mut wakes = other.wakes();
    told(&mut wakes, "the subscription").await;

    let lease = begin(&store, "order-42").await;
    store.wait(&lease, question("manager", "s3cret")).await.unwrap();
    store.finish(&lease, Ending::new(Status::Waiting)).await.unwrap();
    told(&mut wakes, "an ending").await;
    let yes = Outcome::Value(Payload::encode("yes").unwrap());
    let answered = store.answer(Answer::new(run_id("order-42"), "manager", yes)).await.unwrap();
    assert_eq!(answered, Ok(()));
    told(&mut wakes, "an answer").await;
    let lease = begin(&store, "order-42").await;
    store.release(&lease);
    told(&mut wakes, "a release").await;
}

#[tokio::test]
async fn listener_wakes_when_subscription_is_restored() {
    let Behind { proxy, far, near: _near, place: _keys } = Behind::<Keys>::new(PATIENCE).await;
    let mut wakes = far.wakes();
    told(&mut wakes, "the subscription").await;
    proxy.set(Way::Closed);
    proxy.next_call().await;
    proxy.reopen().await;
    told(&mut wakes, "what was missed meanwhile").await;
}

#[tokio::test]
async fn wakes_end_once_store_is_dropped() {
    let InRedis { store, place: _keys } = InRedis::new().await;
    let mut wakes = store.wakes();
    drop(store);
    let closed = async { while wakes.changed().await {} };
    tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
}

use std::future::Future;
use std::ops::RangeInclusive;
use std::time::Duration;

use awaitly_core::journal::Status;
use awaitly_core::store::{Durability, Ending, Operate, RunQuery, Store, StoreError, Wait};

use super::{InRedis, Keys, PATIENCE};
use crate::behind::Behind;
use crate::given::{append, begin, hold, question, request, run_id, value};
use crate::proxy::{Proxy, Way};

#[tokio::test]
async fn durability_names_settings_of_server() {
    let InRedis { store, place: _keys } = InRedis::new().await;
    let mut connection = redis::Client::open(super::url()).unwrap().get_connection().unwrap();
    let mut setting = |name: &str| {
        let answer: Result<(String, String), _> =
            redis::cmd("CONFIG").arg("GET").arg(name).query(&mut connection);
        answer.map(|(_, value)| value).unwrap_or_default()
    };
    let (appendonly, appendfsync) = (setting("appendonly"), setting("appendfsync"));
    let said = store.durability();
    let begin = match (&*appendonly, &*appendfsync) {
        ("no", _) => "Redis, appendonly no: ".to_owned(),
        ("yes", "always") => "Redis, appendonly yes, appendfsync always".to_owned(),
        ("yes", appendfsync) => format!("Redis, appendonly yes, appendfsync {appendfsync}: "),
        _ => "Redis, durability unknown".to_owned(),
    };
    assert!(said.starts_with(&begin), "{said}");
    assert!(format!("{store:?}").starts_with("RedisStore { prefix: \"awaitly-test-"), "{store:?}");
}

/// A server that lost its last second in a crash hands out the same token twice.
#[tokio::test]
async fn forgotten_lease_stays_lost_when_token_is_reused() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let forgotten = begin(&store, "order-42").await;
    keys.command("DEL", "run/order-42", &[]);
    let newer = begin(&store, "order-42").await;
    assert_eq!(forgotten.token(), newer.token());
    assert_eq!(
        append(&store, &forgotten, value("charge", "1")).await,
        Err(StoreError::LeaseLost { run: "order-42".into() })
    );
    store.append(&newer, value("charge", "2"), Durability::Batched).await.unwrap();
    assert_eq!(store.list(RunQuery::new()).await.unwrap().items.len(), 1);
}

/// A moment is read off when a write is carried out, by the server, and not when it was asked for.
#[tokio::test]
async fn moments_are_those_of_the_server() {
    let Behind { proxy, far: store, place: keys, .. } = Behind::<Keys>::new(PATIENCE).await;
    let minute = Duration::from_secs(60);
    let until =
        || -> u64 { redis::from_redis_value(keys.command("HGET", "run/order-42", &["until"])).unwrap() };

    let ((lease, _), span) = late(&proxy, hold(&store, request("order-42").ttl(minute))).await;
    assert!(span.contains(&(until() - 60_000)));
    let (renewed, span) = late(&proxy, store.renew(&lease, minute)).await;
    assert!(span.contains(&renewed.unwrap().now.as_millis()) && span.contains(&(until() - 60_000)));
    let wait = Wait { expires_in: Some(minute), ..question("manager", "s3cret") };
    let (waits, span) = late(&proxy, store.wait(&lease, wait)).await;
    waits.unwrap();
    let stored = store.load(&run_id("order-42")).await.unwrap().unwrap();
    assert!(span.contains(&stored.waits[0].since.as_millis()));
    assert_eq!(stored.waits[0].expires, Some(stored.waits[0].since.after(minute)));
    let (finished, span) = late(&proxy, store.finish(&lease, Ending::new(Status::Waiting))).await;
    finished.unwrap();
    let stored = store.load(&run_id("order-42")).await.unwrap().unwrap();
    assert!(span.contains(&stored.header.changed.as_millis()));
}

/// Does something that has to wait for the server, and says when it can have been carried out.
async fn late<T>(proxy: &Proxy, doing: impl Future<Output = T>) -> (T, RangeInclusive<u64>) {
    proxy.set(Way::Closed);
    let letting = async {
        // Whoever asked does not try again before the request was made.
        proxy.next_call().await;
        let asked = time();
        while time() == asked {}
        let after = time();
        proxy.reopen().await;
        after
    };
    let (done, from) = tokio::join!(doing, letting);
    (done, from..=time())
}

/// What time it is on the server.
fn time() -> u64 {
    let mut connection = redis::Client::open(super::url()).unwrap().get_connection().unwrap();
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(&mut connection).unwrap();
    seconds * 1000 + micros / 1000
}

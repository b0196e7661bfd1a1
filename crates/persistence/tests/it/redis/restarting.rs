//! A server that comes back without what it had acknowledged last, and one that comes back with all of it.

use std::time::Duration;

use awaitly_core::journal::{Contents, Settling, Status};
use awaitly_core::store::{DueQuery, Durability, Ending, Lease, Operate, Rewrite, Store, StoreError};
use awaitly_persistence::{RedisOptions, RedisStore};

use super::connection::before_the_answer_came_to;
use super::private::Private;
use crate::given::{append, begin, hold, question, records, request, run_id, value};
use crate::proxy::Proxy;

/// What it has acknowledged since its last snapshot is lost when it is killed.
fn forgetful() -> Private {
    Private::start(&["--appendonly", "no"])
}

async fn connected(server: &Private) -> RedisStore {
    RedisStore::connect(server.url()).await.unwrap()
}

fn lost() -> StoreError {
    StoreError::LeaseLost { run: "order-42".into() }
}

/// A store whose run has one outcome that the server knows and one that it has forgotten since it was told.
async fn with_a_gap(server: &mut Private) -> (RedisStore, Lease) {
    let store = connected(server).await;
    let lease = begin(&store, "order-42").await;
    append(&store, &lease, value("reserve", "1")).await.unwrap();
    store.wait(&lease, question("manager", "s3cret")).await.unwrap();
    server.command(&["SAVE"]);
    append(&store, &lease, value("charge", "1")).await.unwrap();
    server.crash();
    (store, lease)
}

#[tokio::test]
async fn lease_with_forgotten_writes_refuses_all_writes() {
    let mut server = forgetful();
    let (store, lease) = with_a_gap(&mut server).await;
    let before = store.load(&run_id("order-42")).await.unwrap().unwrap();
    assert_eq!(before.records, [value("reserve", "1")], "the server has forgotten nothing");

    assert_eq!(append(&store, &lease, value("ship", "1")).await, Err(lost()));
    let replaced = store.replace(&lease, value("reserve", "2"), Durability::Sync).await;
    assert_eq!(replaced, Err(lost()));
    let other = awaitly_core::store::Wait { key: "director".into(), ..question("manager", "s3cret") };
    assert_eq!(store.wait(&lease, other).await, Err(lost()));
    let settled = store.settle(&lease, value("manager", "\"no\""), Settling::Withdraw).await;
    assert_eq!(settled, Err(lost()));
    assert_eq!(store.revive(&lease, vec!["reserve".into()]).await, Err(lost()));
    assert_eq!(store.rewrite(&lease, Rewrite::new(7, Contents::default(), &before.waits)).await, Err(lost()));
    assert_eq!(store.renew(&lease, Duration::from_secs(60)).await, Err(lost()));
    assert_eq!(store.finish(&lease, Ending::new(Status::Completed)).await, Err(lost()));
    assert_eq!(store.load(&run_id("order-42")).await.unwrap().unwrap(), before);
}

#[tokio::test]
async fn run_with_forgotten_records_is_due_and_resumes() {
    let mut server = forgetful();
    let (store, lease) = with_a_gap(&mut server).await;
    assert_eq!(append(&store, &lease, value("ship", "1")).await, Err(lost()));
    store.release(&lease);
    let due = store.due(DueQuery::new()).await.unwrap();
    assert_eq!(due.into_iter().map(|due| due.run).collect::<Vec<_>>(), [run_id("order-42")]);
    let lease = begin(&store, "order-42").await;
    append(&store, &lease, value("charge", "2")).await.unwrap();
    append(&store, &lease, value("ship", "2")).await.unwrap();
    store.finish(&lease, Ending::new(Status::Completed)).await.unwrap();
    let expected = [value("reserve", "1"), value("charge", "2"), value("ship", "2")];
    assert_eq!(records(&store, "order-42").await, expected);
}

/// The owner before the last one, whose lease is the newest again for a server that has forgotten the last.
#[tokio::test]
async fn replaced_owner_stays_replaced_after_server_forgets() {
    let mut server = forgetful();
    let store = connected(&server).await;
    let (first, _) = hold(&store, request("order-42").ttl(Duration::ZERO)).await;
    server.command(&["SAVE"]);
    let second = begin(&store, "order-42").await;
    append(&store, &second, value("charge", "1")).await.unwrap();
    server.crash();
    assert_eq!(append(&store, &first, value("ship", "1")).await, Err(lost()));
    assert_eq!(append(&store, &second, value("ship", "1")).await, Err(lost()));
}

#[tokio::test]
async fn lease_survives_crash_of_durable_server() {
    let mut server = Private::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = connected(&server).await;
    let lease = begin(&store, "order-42").await;
    append(&store, &lease, value("charge", "1")).await.unwrap();
    server.crash();
    append(&store, &lease, value("ship", "1")).await.unwrap();
    store.renew(&lease, Duration::from_secs(60)).await.unwrap();
    store.finish(&lease, Ending::new(Status::Completed)).await.unwrap();
    assert_eq!(records(&store, "order-42").await, [value("charge", "1"), value("ship", "1")]);
}

/// Earlier versions did not note which server a lease is good for.
#[tokio::test]
async fn lease_without_server_id_survives_restart() {
    let mut server = forgetful();
    let store = connected(&server).await;
    let lease = begin(&store, "order-42").await;
    server.command(&["HDEL", "awaitly:run/order-42", "server"]);
    server.command(&["SAVE"]);
    server.crash();
    append(&store, &lease, value("charge", "1")).await.unwrap();
}

/// A store behind a proxy to a server that is killed before what it answered has arrived, and was told to bring
/// that to its disk before.
struct Far {
    server: Private,
    proxy: Proxy,
    store: RedisStore,
    near: RedisStore,
}

impl Far {
    async fn connect() -> Self {
        let server = forgetful();
        let proxy = Proxy::start(server.address()).await;
        let through = format!("redis://127.0.0.1:{}", proxy.port());
        // Starting a server takes a moment.
        let patience = Duration::from_secs(60);
        let store = RedisOptions::new().patience(patience).connect(through).await.unwrap();
        let near = RedisOptions::new().patience(patience).connect(server.url()).await.unwrap();
        Self { server, proxy, store, near }
    }

    async fn crashing<T>(&mut self, doing: impl Future<Output = T>) -> T {
        self.crashing_at("EVALSHA", doing).await
    }

    /// The same at the first call that holds this text.
    async fn crashing_at<T>(&mut self, text: &'static str, doing: impl Future<Output = T>) -> T {
        let Self { server, proxy, .. } = self;
        let crashing = async {
            server.command(&["SAVE"]);
            server.crash();
        };
        before_the_answer_came_to(text, proxy, doing, crashing).await
    }

    /// A lease that is good for the server as it is now.
    async fn lease(&self) -> Lease {
        hold(&self.near, request("order-42").ttl(Duration::ZERO)).await.0
    }
}

#[tokio::test]
async fn kept_write_is_acknowledged_after_server_restart() {
    let mut far = Far::connect().await;
    let store = far.store.clone();

    let lease = far.lease().await;
    let appending = append(&store, &lease, value("charge", "1"));
    assert_eq!(far.crashing(appending).await, Ok(()));
    assert_eq!(append(&store, &lease, value("ship", "1")).await, Err(lost()), "it may have forgotten others");

    let lease = far.lease().await;
    let replacing = store.replace(&lease, value("charge", "2"), Durability::Sync);
    assert_eq!(far.crashing(replacing).await, Ok(()));

    let lease = far.lease().await;
    assert_eq!(far.crashing(store.wait(&lease, question("manager", "s3cret"))).await, Ok(()));

    let lease = far.lease().await;
    let no = value("manager", "\"no\"");
    let settling = store.settle(&lease, no.clone(), Settling::Withdraw);
    assert_eq!(far.crashing(settling).await, Ok(Some(no.outcome)));

    let lease = far.lease().await;
    assert_eq!(far.crashing(store.revive(&lease, vec!["charge".into()])).await, Ok(()));

    let lease = far.lease().await;
    let contents = Contents { records: vec![value("pay", "1")], ..Contents::default() };
    assert_eq!(far.crashing(store.rewrite(&lease, Rewrite::new(1, contents, []))).await, Ok(()));

    let lease = far.lease().await;
    assert_eq!(far.crashing(store.finish(&lease, Ending::new(Status::Completed))).await, Ok(()));
    let stored = store.load(&run_id("order-42")).await.unwrap().unwrap();
    assert_eq!((stored.header.status, stored.records.len()), (Status::Completed, 1));
}

#[tokio::test]
async fn lease_with_lost_answer_survives_server_restart() {
    let mut far = Far::connect().await;
    let store = far.store.clone();
    let (begun, _) = far.crashing(hold(&store, request("order-42").ttl(Duration::ZERO))).await;
    append(&store, &begun, value("charge", "1")).await.unwrap();
    // Only what takes the run over tells from whom.
    let holder = format!("{:x}", begun.slot().cast_unsigned());
    let taken = far.crashing_at(holder.leak(), begin(&store, "order-42")).await;
    append(&store, &taken, value("ship", "1")).await.unwrap();
}

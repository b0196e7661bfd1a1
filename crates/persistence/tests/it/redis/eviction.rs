//! A server that throws keys away when its memory is full.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};

use awaitly_core::journal::{Contents, Status};
use awaitly_core::store::{Durability, Ending, Operate, Purpose, Rewrite, Store, StoreError};
use awaitly_persistence::RedisStore;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::InRedis;
use super::private::Private;
use crate::given::{append, begin, hold, question, records, request, run_id, value};

/// Says that the run is damaged, whoever asks.
async fn is_missed(store: &RedisStore) {
    let damaged = |error| match error {
        StoreError::Corrupt { detail } => assert!(detail.contains("run `order-42`"), "{detail}"),
        other => panic!("{other:?}"),
    };
    damaged(store.load(&run_id("order-42")).await.unwrap_err());
    damaged(store.open(request("order-42")).await.unwrap_err());
}

#[tokio::test]
async fn records_that_the_server_has_thrown_away_are_missed() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let lease = begin(&store, "order-42").await;
    append(&store, &lease, value("reserve", "1")).await.unwrap();
    append(&store, &lease, value("charge", "1")).await.unwrap();
    store.release(&lease);
    let before = store.load(&run_id("order-42")).await.unwrap();
    keys.command("RENAME", "records/order-42", &[&keys.name("aside")]);
    is_missed(&store).await;
    keys.command("RENAME", "aside", &[&keys.name("records/order-42")]);
    assert_eq!(store.load(&run_id("order-42")).await.unwrap(), before);
    let lease = begin(&store, "order-42").await;
    assert_eq!(lease.token(), 2, "the run was taken while records were missing");

    keys.command("UNLINK", "records/order-42", &[]);
    append(&store, &lease, value("ship", "1")).await.unwrap();
    store.release(&lease);
    is_missed(&store).await;
}

#[tokio::test]
async fn records_without_their_run_are_corrupt() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let lease = begin(&store, "order-42").await;
    append(&store, &lease, value("charge", "1")).await.unwrap();
    keys.command("UNLINK", "run/order-42", &[]);
    let opened = store.open(request("order-42")).await;
    assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?}");
    assert_eq!(store.load(&run_id("order-42")).await.unwrap(), None, "nothing was begun");
}

#[tokio::test]
async fn only_evicted_records_are_missed() {
    for copied in [false, true] {
        let InRedis { store, place: keys } = InRedis::new().await;
        let lease = begin(&store, "order-42").await;
        for key in ["reserve", "charge", "ship"] {
            append(&store, &lease, value(key, "1")).await.unwrap();
        }
        store.replace(&lease, value("reserve", "2"), Durability::Sync).await.unwrap();
        store.finish(&lease, Ending::new(Status::Failed)).await.unwrap();
        let (lease, _) = hold(&store, request("order-42").purpose(Purpose::Retry)).await;
        store.revive(&lease, vec!["charge".into(), "never recorded".into()]).await.unwrap();
        store.release(&lease);
        if copied {
            let stored = store.load(&run_id("order-42")).await.unwrap().unwrap();
            store.delete(vec![run_id("order-42")], awaitly_core::store::DeleteIf::Free).await.unwrap();
            let _ = store.import(run_id("order-42"), stored).await.unwrap();
        }
        let left = [value("ship", "1"), value("reserve", "2")];
        assert_eq!(records(&store, "order-42").await, left);
        keys.command("HDEL", "records/order-42", &["ship"]);
        is_missed(&store).await;
    }
}

#[tokio::test]
async fn records_of_a_journal_that_was_rewritten_are_missed() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let lease = begin(&store, "order-42").await;
    append(&store, &lease, value("reserve", "1")).await.unwrap();
    store.wait(&lease, question("manager", "s3cret")).await.unwrap();
    let waits = store.load(&run_id("order-42")).await.unwrap().unwrap().waits;
    let contents = Contents { records: vec![value("pay", "1"), value("ship", "1")], ..Contents::default() };
    store.rewrite(&lease, Rewrite::new(1, contents, &waits)).await.unwrap();
    assert_eq!(keys.command("ZCARD", "tokens", &[]), redis::Value::Int(0));
    assert_eq!(records(&store, "order-42").await.len(), 2);
    store.release(&lease);
    keys.command("HDEL", "records/order-42", &["pay"]);
    is_missed(&store).await;
}

/// Earlier versions did not count what was dropped.
#[tokio::test]
async fn uncounted_run_is_counted_once_opened() {
    let InRedis { store, place: keys } = InRedis::new().await;
    let lease = begin(&store, "order-42").await;
    for json in ["0", "1"] {
        store.replace(&lease, value("reserve", json), Durability::Sync).await.unwrap();
    }
    keys.command("HDEL", "run/order-42", &["dropped"]);
    store.replace(&lease, value("reserve", "2"), Durability::Sync).await.unwrap();
    store.release(&lease);
    assert_eq!(records(&store, "order-42").await, [value("reserve", "2")]);
    let lease = begin(&store, "order-42").await;
    store.release(&lease);
    assert_eq!(records(&store, "order-42").await, [value("reserve", "2")]);
    keys.command("UNLINK", "records/order-42", &[]);
    is_missed(&store).await;
}

#[tokio::test]
async fn evicting_server_logs_an_error() {
    for (policy, is_said) in [("allkeys-lru", true), ("volatile-lru", false), ("noeviction", false)] {
        let server = Private::start(&["--maxmemory-policy", policy]);
        let log = Log::default();
        let logging = tracing::subscriber::set_default(log.clone());
        RedisStore::connect(server.url()).await.unwrap();
        drop(logging);
        let errors = log.0.lock().unwrap().clone();
        assert_eq!(errors.contains("runs can vanish"), is_said, "{policy}: {errors}");
    }
}

/// What is logged as an error.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Message(&mut self.0.lock().unwrap()));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            writeln!(self.0, "{value:?}").unwrap();
        }
    }
}

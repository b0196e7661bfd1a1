use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use awaitly_core::store::{Durability, Store, StoreError};
use awaitly_persistence::{SqliteOptions, SqliteStore};

use super::{InFolder, file};
use crate::given::{append, begin, keys, value};

#[tokio::test]
async fn file_of_a_closed_store_holds_everything() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    append(&fixture.store, &lease, value("charge", "1")).await.unwrap();
    fixture.store.clone().close().await.unwrap();
    let stored: i64 =
        fixture.sql().query_row("SELECT count(*) FROM awaitly_steps", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 1);
}

#[tokio::test]
async fn lease_of_a_closed_store_cannot_write() {
    let InFolder { store, place: folder } = InFolder::new().await;
    let old = begin(&store, "order-42").await;
    store.close().await.unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    let new = begin(&store, "order-42").await;
    assert!(new.token() > old.token());
    let lost = store.append(&old, value("late", "1"), Durability::Sync).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost { .. })), "{lost:?}");
    store.append(&new, value("charge", "1"), Durability::Sync).await.unwrap();
}

#[tokio::test]
async fn queued_appends_are_written_after_last_handle_drops() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    let lease = begin(&store, "order-42").await;
    for number in 0..100 {
        let key = format!("step-{number}");
        let mut append = pin!(append(&store, &lease, value(&key, "1")));
        // Polling it once puts it into the queue.
        poll_fn(|context| Poll::Ready(append.as_mut().poll(context).is_ready())).await;
    }
    drop(store);
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    eventually(async || keys(&store, "order-42").await.len() == 100).await;
}

#[tokio::test]
async fn normal_durability_is_chosen_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteOptions::new().synchronous_normal().open(file(&folder)).await.unwrap();
    assert!(store.durability().contains("synchronous=NORMAL"));
    let lease = begin(&store, "order-42").await;
    store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    store.close().await.unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    assert!(store.durability().contains("synchronous=FULL"));
    assert_eq!(keys(&store, "order-42").await, ["charge"]);
}

#[tokio::test]
async fn memory_is_not_a_file() {
    let error = SqliteStore::open(":memory:").await.unwrap_err();
    assert!(error.to_string().contains("MemoryStore"), "{error}");
    assert!(SqliteStore::open("").await.is_err());
}

/// For what another thread does that nobody can wait for.
async fn eventually(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it never came true");
}

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use awaitly_core::store::{Durability, Opened, Operate, RunQuery, Store, StoreError};
use awaitly_persistence::{SqliteOptions, SqliteStore, Synchronous};

use super::{InFolder, file};
use crate::given::{begin, keys, request, run_id, value};

#[tokio::test]
async fn closed_store_answers_closed_and_its_file_holds_everything() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    fixture.store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    let (other, mut wakes) = (fixture.store.clone(), fixture.store.wakes());
    fixture.store.clone().close().await.unwrap();
    let stored: i64 =
        fixture.sql().query_row("SELECT count(*) FROM awaitly_steps", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 1);
    assert_eq!(other.append(&lease, value("ship", "2"), Durability::Sync).await, Err(StoreError::Closed));
    assert_eq!(other.load(&run_id("order-42")).await, Err(StoreError::Closed));
    assert_eq!(other.list(RunQuery::new()).await, Err(StoreError::Closed));
    assert_eq!(other.open(request("order-43")).await, Err(StoreError::Closed));
    assert!(!wakes.changed().await && !other.wakes().changed().await, "nothing will come any more");
    other.release(&lease);
    assert_eq!(other.close().await, Ok(()));
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
        poll_once(store.append(&lease, value(&format!("step-{number}"), "1"), Durability::Sync)).await;
    }
    drop(store);
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    eventually(async || keys(&store, "order-42").await.len() == 100).await;
}

#[tokio::test]
async fn lease_of_dropped_open_is_given_back() {
    let fixture = InFolder::new().await;
    'opening: for polls in 0..8 {
        let id = format!("order-{polls}");
        {
            let mut opening = pin!(fixture.store.open(request(&id)));
            for _ in 0..polls {
                if is_ready(opening.as_mut()).await {
                    // The commit was quick, and the lease has arrived: nothing to give back.
                    continue 'opening;
                }
            }
        }
        eventually(async || matches!(fixture.store.open(request(&id)).await, Ok(Opened::Held { .. }))).await;
    }
}

#[tokio::test]
async fn normal_durability_is_chosen_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteOptions::new().synchronous(Synchronous::Normal).open(file(&folder)).await.unwrap();
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

async fn poll_once(future: impl Future) {
    is_ready(pin!(future)).await;
}

async fn is_ready<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
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

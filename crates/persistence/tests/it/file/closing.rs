use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use awaitly_core::store::{Opened, Operate, RunQuery, Store, StoreError};
use awaitly_persistence::FileStore;

use super::{InFolder, SYNC, append, begin, journals, keys, request, run, value};

#[tokio::test]
async fn a_closed_store_answers_closed_and_gives_its_folder_back() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    append(&fixture.store, &lease, "charge").await;
    let (other, mut wakes) = (fixture.store.clone(), fixture.store.wakes());
    fixture.store.clone().close().await.unwrap();
    let again = FileStore::open(journals(&fixture.folder)).await.unwrap();
    assert_eq!(keys(&again, "order-42").await, ["charge"]);
    assert_eq!(other.append(&lease, value("ship", "2"), SYNC).await, Err(StoreError::Closed));
    assert_eq!(other.load(&run("order-42")).await, Err(StoreError::Closed));
    assert_eq!(other.list(RunQuery::new()).await, Err(StoreError::Closed));
    assert_eq!(other.open(request("order-43")).await, Err(StoreError::Closed));
    assert!(!wakes.changed().await && !other.wakes().changed().await, "nothing will come any more");
    other.release(&lease);
    assert_eq!(other.close().await, Ok(()));
}

#[tokio::test]
async fn a_lease_of_a_store_that_was_closed_cannot_write() {
    let fixture = InFolder::new().await;
    let old = begin(&fixture.store, "order-42").await;
    let fixture = fixture.reopen().await;
    let new = begin(&fixture.store, "order-42").await;
    assert!(new.token() > old.token());
    let lost = fixture.store.append(&old, value("late", "1"), SYNC).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost { .. })), "{lost:?}");
    append(&fixture.store, &new, "charge").await;
}

#[tokio::test]
async fn what_was_queued_is_written_when_the_last_handle_is_dropped() {
    let InFolder { store, folder } = InFolder::new().await;
    let lease = begin(&store, "order-42").await;
    for number in 0..100 {
        is_ready(pin!(store.append(&lease, value(&format!("step-{number}"), "1"), SYNC))).await;
    }
    drop(store);
    eventually(async || match FileStore::open(journals(&folder)).await {
        Ok(store) => {
            assert_eq!(keys(&store, "order-42").await.len(), 100);
            true
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
            false
        }
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_nobody_waits_for_any_more_is_given_back() {
    let fixture = InFolder::new().await;
    'opening: for polls in 0..8 {
        let id = format!("order-{polls}");
        {
            let mut opening = pin!(fixture.store.open(request(&id)));
            for _ in 0..polls {
                if is_ready(opening.as_mut()).await {
                    // The writer was quick, and the lease has arrived: nothing to give back.
                    continue 'opening;
                }
            }
        }
        eventually(async || matches!(fixture.store.open(request(&id)).await, Ok(Opened::Held { .. }))).await;
    }
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

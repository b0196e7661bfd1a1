use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use awaitly_core::store::{Durability, Opened, Store, StoreError};
use awaitly_persistence::{SqliteOptions, SqliteStore};
use futures_util::future::join_all;
use proptest::prelude::*;

use super::{InFolder, file};
use crate::given::{begin, hold, is_busy, keys, request, value};

#[tokio::test]
async fn queue_of_one_place_lets_everyone_through() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteOptions::new().queue(0).open(file(&folder)).await.unwrap();
    let lease = begin(&store, "order-42").await;
    let appended =
        join_all((0..200).map(async |number| {
            store.append(&lease, value(&number.to_string(), "1"), Durability::Sync).await
        }))
        .await;
    assert!(appended.iter().all(Result::is_ok));
    let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(keys(&store, "order-42").await, expected, "who waits for a place is served in order");
}

#[tokio::test]
async fn busy_file_is_unavailable_until_released() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        SqliteOptions::new().busy_timeout(Duration::from_millis(1)).open(file(&folder)).await.unwrap();
    let lease = begin(&store, "order-42").await;
    let other = rusqlite::Connection::open(file(&folder)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; CREATE TABLE theirs (id INTEGER)").unwrap();
    let appended =
        join_all((0..10).map(async |number| {
            store.append(&lease, value(&number.to_string(), "1"), Durability::Sync).await
        }))
        .await;
    assert!(appended.iter().all(|fate| matches!(fate, Err(StoreError::Unavailable { .. }))), "{appended:?}");
    assert_eq!(keys(&store, "order-42").await, [""; 0]);
    other.execute_batch("COMMIT").unwrap();
    store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&store, "order-42").await, ["charge"]);
}

#[tokio::test]
async fn application_tables_in_shared_file_are_harmless() {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    let sql = fixture.sql();
    sql.execute_batch("CREATE TABLE orders (id INTEGER); PRAGMA user_version = 77").unwrap();
    for number in 0..20 {
        sql.execute("INSERT INTO orders VALUES (?)", [number]).unwrap();
        fixture.store.append(&lease, value(&format!("step-{number}"), "1"), Durability::Sync).await.unwrap();
    }
    let expected: Vec<_> = (0..20).map(|number| format!("step-{number}")).collect();
    assert_eq!(keys(&fixture.store, "order-42").await, expected);
    assert_eq!(sql.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap(), 77);
}

#[tokio::test]
async fn lease_that_expired_without_a_successor_may_still_write() {
    let fixture = InFolder::new().await;
    let (lease, _) = hold(&fixture.store, request("order-42").ttl(Duration::ZERO)).await;
    fixture.store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    fixture.store.renew(&lease, Duration::from_secs(60)).await.unwrap();
    assert!(is_busy(&fixture.store, "order-42").await);
}

/// What one worker does to one run.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// Opens the run with a lease that anybody may take over at once.
    Open(usize),
    Append,
    AppendTwice,
    Release,
}

fn moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    let one = prop_oneof![
        2 => (0..2_usize).prop_map(Move::Open),
        6 => Just(Move::Append),
        1 => Just(Move::AppendTwice),
        1 => Just(Move::Release),
    ];
    prop::collection::vec((0..3_usize, one), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Workers on two stores of one file take runs from each other while they write. At the end a
    /// record is stored exactly where it was acknowledged.
    #[test]
    fn acknowledged_records_equal_stored_records(workers in prop::collection::vec(moves(), 2..12)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
            .block_on(acknowledged_is_stored(workers));
    }
}

async fn acknowledged_is_stored(workers: Vec<Vec<(usize, Move)>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let stores = [SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap()];
    let acknowledged: [Mutex<BTreeSet<String>>; 3] = Default::default();
    for run in 0..3 {
        hold(&stores[0], request(&run.to_string()).ttl(Duration::ZERO)).await;
    }
    join_all(workers.iter().enumerate().map(|(worker, moves)| work(worker, moves, &stores, &acknowledged)))
        .await;
    for (run, acknowledged) in acknowledged.iter().enumerate() {
        let stored: Vec<_> = keys(&stores[1], &run.to_string()).await;
        let distinct: BTreeSet<_> = stored.iter().cloned().collect();
        assert_eq!(stored.len(), distinct.len());
        assert_eq!(distinct, *acknowledged.lock().unwrap(), "of run {run}");
    }
}

async fn work(
    worker: usize,
    moves: &[(usize, Move)],
    stores: &[SqliteStore; 2],
    acknowledged: &[Mutex<BTreeSet<String>>; 3],
) {
    let mut held = [const { None }; 3];
    for (number, (run, next)) in moves.iter().copied().enumerate() {
        let key = format!("{worker}-{number}");
        match (next, &held[run]) {
            (Move::Open(store), _) => {
                let open = request(&run.to_string()).ttl(Duration::ZERO);
                match stores[store].open(open).await.unwrap() {
                    Opened::Held { lease, .. } => held[run] = Some((store, lease)),
                    other => panic!("expected a lease, got {other:?}"),
                }
            }
            (Move::Append | Move::AppendTwice, Some((store, lease))) => {
                match stores[*store].append(lease, value(&key, "1"), Durability::Sync).await {
                    Ok(()) => assert!(acknowledged[run].lock().unwrap().insert(key.clone())),
                    Err(StoreError::LeaseLost { .. }) => continue,
                    Err(error) => panic!("{error}"),
                }
                if matches!(next, Move::AppendTwice) {
                    let again = stores[*store].append(lease, value(&key, "2"), Durability::Sync).await;
                    assert!(
                        matches!(
                            again,
                            Err(StoreError::AlreadyRecorded { .. } | StoreError::LeaseLost { .. })
                        ),
                        "{again:?}"
                    );
                }
            }
            (Move::Release, Some((store, lease))) => stores[*store].release(lease),
            (_, None) => {}
        }
    }
}

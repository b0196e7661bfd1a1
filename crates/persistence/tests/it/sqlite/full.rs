use std::process::{Command, Stdio};
use std::time::Duration;

use awaitly_core::store::{Durability, Owner, Store, StoreError};
use awaitly_persistence::{SqliteOptions, SqliteStore};
use futures_util::future::join_all;

use super::file;
use crate::given::{append, begin, hold, keys, request, value};

/// A value of 3000 bytes.
fn text() -> String {
    format!("\"{}\"", "x".repeat(2998))
}

/// Appends to a run until the store refuses. Returns the keys that it acknowledged, and the refusal.
async fn fill(store: &SqliteStore) -> (Vec<String>, StoreError) {
    let lease = begin(store, "order-42").await;
    let mut acknowledged = Vec::new();
    loop {
        let key = format!("step-{}", acknowledged.len());
        match append(store, &lease, value(&key, &text())).await {
            Ok(()) => acknowledged.push(key),
            Err(error) => return (acknowledged, error),
        }
    }
}

#[tokio::test]
async fn full_store_keeps_acknowledged_records() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteOptions::new().max_bytes(256 * 1024).open(file(&folder)).await.unwrap();
    let (acknowledged, error) = fill(&store).await;
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(acknowledged.len() > 10, "it was full after {}", acknowledged.len());
    assert_eq!(keys(&store, "order-42").await, acknowledged);
    store.close().await.unwrap();

    let store = SqliteStore::open(file(&folder)).await.unwrap();
    assert_eq!(keys(&store, "order-42").await, acknowledged);
    let lease = begin(&store, "order-42").await;
    store.append(&lease, value("after", &text()), Durability::Sync).await.unwrap();
}

#[tokio::test]
async fn oversized_write_fails_alone_in_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteOptions::new().max_bytes(1024 * 1024).open(file(&folder)).await.unwrap();
    let mut leases = Vec::new();
    for number in 0..32 {
        leases.push(begin(&store, &format!("order-{number}")).await);
    }
    let large = format!("\"{}\"", "x".repeat(2 * 1024 * 1024));
    let fates = join_all(leases.iter().enumerate().map(async |(number, lease)| {
        let json = if number % 8 == 3 { large.as_str() } else { "1" };
        store.append(lease, value("charge", json), Durability::Sync).await
    }))
    .await;
    for (number, fate) in fates.iter().enumerate() {
        let recorded = keys(&store, &format!("order-{number}")).await;
        if number % 8 == 3 {
            assert!(matches!(fate, Err(StoreError::Full { .. })), "run {number}: {fate:?}");
            assert!(recorded.is_empty());
        } else {
            assert_eq!(*fate, Ok(()), "run {number}");
            assert_eq!(recorded, ["charge"]);
        }
    }
}

#[tokio::test]
async fn failed_takeover_keeps_previous_lease() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteOptions::new().max_bytes(1024 * 1024).open(file(&folder)).await.unwrap();
    let (lease, _) = hold(&store, request("order-42").ttl(Duration::ZERO)).await;
    let mut other = request("order-42");
    other.owner = Owner::new("x".repeat(2 * 1024 * 1024));
    let refused = store.open(other).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&store, "order-42").await, ["charge"]);
}

#[tokio::test]
#[ignore = "the other process of the test below, started by it"]
async fn with_little_space() {
    let store = SqliteStore::open(std::env::var_os("FULL_PATH").expect("started by a test")).await.unwrap();
    let (acknowledged, error) = fill(&store).await;
    assert_eq!(keys(&store, "order-42").await, acknowledged);
    println!("> {} records, then {error:?}", acknowledged.len());
}

#[tokio::test]
#[cfg(unix)]
async fn file_size_limit_keeps_acknowledged_records() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["sqlite::full::with_little_space", "--exact", "--ignored", "--nocapture"])
        .env("FULL_PATH", file(&folder))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("then Full") || said.contains("then Unavailable"), "{said}");
    let records: usize = said.split_once("> ").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
    assert!(records > 10, "it was full after {records}");
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    assert_eq!(keys(&store, "order-42").await.len(), records);
    let lease = begin(&store, "order-42").await;
    store.append(&lease, value("after", "1"), Durability::Sync).await.unwrap();
}

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use awaitly_core::store::{Durability, Operate, Store, StoreError};
use awaitly_persistence::SqliteStore;
use futures_util::future::join_all;

use super::{InFolder, file};
use crate::given::{begin, hold, is_busy, keys, request, value};

fn folder(fixture: &InFolder) -> PathBuf {
    fixture.place.path().join("journals.db-owners")
}

fn locks(fixture: &InFolder) -> Vec<PathBuf> {
    fs::read_dir(folder(fixture)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn leases_of_a_closed_store_are_free_at_once() {
    let InFolder { store, place: folder } = InFolder::new().await;
    hold(&store, request("order-42").ttl(Duration::from_secs(3600))).await;
    let other = SqliteStore::open(file(&folder)).await.unwrap();
    assert!(is_busy(&other, "order-42").await);
    store.close().await.unwrap();
    begin(&other, "order-42").await;
}

#[tokio::test]
async fn question_for_the_time_is_answered_after_earlier_releases() {
    let fixture = InFolder::new().await;
    let leases: Vec<_> = (0..200).map(|number| format!("order-{number}")).collect();
    let leases = join_all(leases.iter().map(|run| begin(&fixture.store, run))).await;
    leases.iter().for_each(|lease| fixture.store.release(lease));
    fixture.store.now().await.unwrap();
    let sql = "SELECT count(*) FROM awaitly_runs WHERE owner IS NOT NULL";
    let held: i64 = fixture.sql().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(held, 0);
}

#[tokio::test]
async fn opening_removes_locks_of_dead_owners() {
    let fixture = InFolder::new().await;
    let [own] = &locks(&fixture)[..] else { panic!("expected one lock") };
    let dead = own.with_file_name("12-00ff.lock");
    let not_a_lock = own.with_file_name("notes.txt");
    fs::write(&dead, "").unwrap();
    fs::write(&not_a_lock, "").unwrap();
    let other = SqliteStore::open(fixture.file()).await.unwrap();
    assert!(!dead.exists());
    assert!(own.exists() && not_a_lock.exists());
    assert_eq!(locks(&fixture).len(), 3);
    other.close().await.unwrap();
    fixture.store.clone().close().await.unwrap();
    assert_eq!(locks(&fixture), [not_a_lock]);
}

#[tokio::test]
#[cfg(unix)]
async fn linked_file_shares_owners_of_its_target() {
    let fixture = InFolder::new().await;
    hold(&fixture.store, request("order-42").ttl(Duration::from_secs(3600))).await;
    let link = fixture.place.path().join("link.db");
    std::os::unix::fs::symlink(fixture.file(), &link).unwrap();
    let linked = SqliteStore::open(&link).await.unwrap();
    assert!(is_busy(&linked, "order-42").await, "the owner behind the link was taken for dead");
    assert_eq!(locks(&fixture).len(), 2);
}

#[tokio::test]
async fn without_locks_a_lease_lasts_until_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    // A file where the folder of the locks should be.
    fs::write(folder.path().join("journals.db-owners"), "").unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    hold(&store, request("long").ttl(Duration::from_secs(3600))).await;
    hold(&store, request("short").ttl(Duration::ZERO)).await;
    store.close().await.unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    assert!(is_busy(&store, "long").await);
    begin(&store, "short").await;
}

#[tokio::test]
async fn owner_file_outside_folder_keeps_lease_busy() {
    let fixture = InFolder::new().await;
    hold(&fixture.store, request("order-42").ttl(Duration::from_secs(3600))).await;
    fixture.change_run("order-42", "lock_file = '../nothing.lock'");
    assert!(is_busy(&fixture.store, "order-42").await);
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn removed_lock_folder_keeps_lease_busy() {
    let fixture = InFolder::new().await;
    let (lease, _) = hold(&fixture.store, request("order-42").ttl(HOUR)).await;
    let before = SqliteStore::open(fixture.file()).await.unwrap();
    fs::remove_dir_all(folder(&fixture)).unwrap();
    let after = SqliteStore::open(fixture.file()).await.unwrap();
    for other in [&before, &after] {
        assert!(is_busy(other, "order-42").await, "the owner is alive");
    }
    fixture.store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
}

#[tokio::test]
async fn removed_lock_is_made_anew_with_the_next_lease() {
    let fixture = InFolder::new().await;
    let (lease, _) = hold(&fixture.store, request("order-42").ttl(HOUR)).await;
    let other = SqliteStore::open(fixture.file()).await.unwrap();
    let own = locks(&fixture);
    fs::remove_dir_all(folder(&fixture)).unwrap();
    fixture.store.renew(&lease, HOUR).await.unwrap();
    let [made] = &locks(&fixture)[..] else { panic!("expected one lock") };
    assert!(own.contains(made));
    assert!(is_busy(&other, "order-42").await);
    // The lock is worth as much as the first one: without it, the lease would last for an hour.
    fixture.store.clone().close().await.unwrap();
    begin(&other, "order-42").await;
}

#[tokio::test]
async fn owner_with_replaced_lock_loses_lease_to_successor() {
    let fixture = InFolder::new().await;
    let (lease, _) = hold(&fixture.store, request("order-42").ttl(HOUR)).await;
    let [own] = &locks(&fixture)[..] else { panic!("expected one lock") };
    fs::remove_file(own).unwrap();
    fs::write(own, "").unwrap();
    let other = SqliteStore::open(fixture.file()).await.unwrap();
    let successor = begin(&other, "order-42").await;
    let late = fixture.store.append(&lease, value("charge", "1"), Durability::Sync).await;
    assert!(matches!(late, Err(StoreError::LeaseLost { .. })), "{late:?}");
    other.append(&successor, value("charge", "2"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&other, "order-42").await, ["charge"]);
}

#[tokio::test]
async fn copied_file_keeps_a_lease_until_its_time_is_over() {
    let fixture = InFolder::new().await;
    hold(&fixture.store, request("long").ttl(HOUR)).await;
    hold(&fixture.store, request("short").ttl(Duration::ZERO)).await;
    let copy = fixture.place.path().join("copy.db");
    fixture.sql().execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
    let copy = SqliteStore::open(copy).await.unwrap();
    assert!(is_busy(&copy, "long").await);
    begin(&copy, "short").await;
}

#[tokio::test]
async fn leases_of_closed_store_are_free_without_its_lock() {
    let InFolder { store, place: folder } = InFolder::new().await;
    hold(&store, request("order-42").ttl(HOUR)).await;
    store.close().await.unwrap();
    // The first one removes the lock that was left, and must not leave a lease that nobody can judge.
    let first = SqliteStore::open(file(&folder)).await.unwrap();
    let second = SqliteStore::open(file(&folder)).await.unwrap();
    begin(&second, "order-42").await;
    drop(first);
}

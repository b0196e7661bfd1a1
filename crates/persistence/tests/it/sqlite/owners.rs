use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use awaitly_persistence::SqliteStore;

use super::{InFolder, begin, file, hold, is_busy, request};

fn locks(fixture: &InFolder) -> Vec<PathBuf> {
    let folder = fixture.folder.path().join("journals.db-owners");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn the_leases_of_a_closed_store_are_free_at_once() {
    let InFolder { store, folder } = InFolder::new().await;
    hold(&store, request("order-42").ttl(Duration::from_secs(3600))).await;
    let other = SqliteStore::open(file(&folder)).await.unwrap();
    assert!(is_busy(&other, "order-42").await);
    store.close().await.unwrap();
    begin(&other, "order-42").await;
}

#[tokio::test]
async fn the_locks_of_the_dead_are_removed_at_the_next_opening() {
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
async fn a_link_to_the_file_is_the_same_store() {
    let fixture = InFolder::new().await;
    hold(&fixture.store, request("order-42").ttl(Duration::from_secs(3600))).await;
    let link = fixture.folder.path().join("link.db");
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
async fn a_name_that_leads_out_of_the_folder_is_no_dead_owner() {
    let fixture = InFolder::new().await;
    hold(&fixture.store, request("order-42").ttl(Duration::from_secs(3600))).await;
    fixture.sql().execute("UPDATE awaitly_runs SET owner_lock = '../nothing.lock'", []).unwrap();
    assert!(is_busy(&fixture.store, "order-42").await);
}

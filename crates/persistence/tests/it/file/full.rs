//! A disk without space: `/dev/full` in the place of a file, and processes that may not write large files, or not
//! many.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use awaitly_core::journal::Status;
use awaitly_core::store::{Cancelled, Operate, Store, StoreError};
use awaitly_persistence::FileStore;
use futures_util::future::join_all;
use tempfile::TempDir;

use super::{InFolder, SYNC, append, begin, journals, keys, load, request, run, value};

#[tokio::test]
#[ignore = "the other process of the tests below, started by them"]
async fn with_little_space() {
    let path = std::env::var_os("FULL_PATH").expect("started by a test");
    let store = match FileStore::open(path).await {
        Ok(store) => store,
        Err(error) => return println!("> opening: {error:?}"),
    };
    let lease = match store.open(request("order-42")).await {
        Ok(awaitly_core::store::Opened::Held { lease, .. }) => lease,
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(store.load(&run("order-42")).await, Ok(None));
            return println!("> beginning: {error:?}");
        }
    };
    let text = format!("\"{}\"", "x".repeat(3000));
    let mut acknowledged = Vec::new();
    let error = loop {
        let key = format!("step-{}", acknowledged.len());
        match store.append(&lease, value(&key, &text), SYNC).await {
            Ok(()) => acknowledged.push(key),
            Err(error) => break error,
        }
    };
    assert!(acknowledged.len() > 10, "it was full after {}", acknowledged.len());
    assert_eq!(keys(&store, "order-42").await, acknowledged);
    // What is small enough still fits: nothing of the large one is left.
    append(&store, &lease, "small").await;
    acknowledged.push("small".into());
    assert_eq!(keys(&store, "order-42").await, acknowledged);
    println!("> {} records, then {error:?}", acknowledged.len());
}

/// What a process says that has this limit.
fn said_with(folder: &TempDir, limit: &str, role: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("trap '' XFSZ; ulimit {limit}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args([&format!("file::full::{role}"), "--exact", "--ignored", "--nocapture"])
        .env("FULL_PATH", journals(folder))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_what_was_acknowledged_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let said = said_with(&folder, "-f 0", "with_little_space");
    assert!(said.contains("> beginning: Full"), "{said}");
    let said = said_with(&folder, "-f 100", "with_little_space");
    assert!(said.contains("then Full"), "{said}");
    let records: usize = said.split_once("> ").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
    let store = FileStore::open(journals(&folder)).await.unwrap();
    assert_eq!(keys(&store, "order-42").await.len(), records);
    let lease = begin(&store, "order-42").await;
    append(&store, &lease, "after").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_does_not_take_its_batch_along() {
    let fixture = InFolder::new().await;
    for number in 0..16 {
        let lease = begin(&fixture.store, &number.to_string()).await;
        append(&fixture.store, &lease, "charge").await;
        fixture.store.release(&lease);
    }
    let path = |number: usize| fixture.file(&format!("run-{number}.log"));
    for number in [3, 11] {
        fs::rename(path(number), fixture.folder.path().join(number.to_string())).unwrap();
        symlink("/dev/full", path(number)).unwrap();
    }
    let ids: Vec<_> = (0..16).map(|number: usize| run(&number.to_string())).collect();
    let cancelled = join_all(ids.iter().map(|run| fixture.store.cancel_without_undo(run))).await;
    for (number, cancelled) in cancelled.into_iter().enumerate() {
        if [3, 11].contains(&number) {
            assert!(matches!(cancelled, Err(StoreError::Full { .. })), "run {number}: {cancelled:?}");
        } else {
            assert_eq!(cancelled, Ok(Cancelled::WithoutUndo), "run {number}");
        }
    }
    for number in [3, 11] {
        fs::rename(fixture.folder.path().join(number.to_string()), path(number)).unwrap();
        assert_eq!(load(&fixture.store, &number.to_string()).await.header.status, Status::Running);
        // It could not be cut back either, so nobody knows what is in it until it is read again.
        let error = fixture.store.open(request(&number.to_string())).await;
        assert!(
            matches!(&error, Err(StoreError::Unavailable { detail }) if detail.contains("opened")),
            "{error:?}"
        );
    }
    let fixture = fixture.reopen().await;
    for (number, id) in ids.iter().enumerate() {
        let left = if [3, 11].contains(&number) { Status::Running } else { Status::Cancelled };
        assert_eq!(load(&fixture.store, id).await.header.status, left);
        assert_eq!(keys(&fixture.store, id).await, ["charge"]);
    }
    append(&fixture.store, &begin(&fixture.store, "3").await, "ship").await;
}

#[tokio::test]
#[ignore = "the other process of the test below, started by it"]
async fn with_few_files() {
    let path = std::env::var_os("FULL_PATH").expect("started by a test");
    let store = FileStore::open(path).await.unwrap();
    let ids: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    let leases = join_all(ids.iter().map(|id| begin(&store, id))).await;
    join_all(leases.iter().map(|lease| append(&store, lease, "charge"))).await;
    for id in &ids {
        assert_eq!(keys(&store, id).await, ["charge"]);
    }
    println!("> {} runs", ids.len());
}

#[tokio::test]
async fn many_runs_need_few_open_files() {
    let folder = tempfile::tempdir().unwrap();
    let said = said_with(&folder, "-n 200", "with_few_files");
    assert!(said.contains("> 500 runs"), "{said}");
}

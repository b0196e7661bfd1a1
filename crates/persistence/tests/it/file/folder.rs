use std::fs;

use awaitly_core::store::{Store, StoreError};
use awaitly_persistence::{FileOptions, FileStore};

use super::{InFolder, append, begin, journals, keys, open_error, request};

#[tokio::test]
async fn a_folder_is_opened_once_at_a_time() {
    let fixture = InFolder::new().await;
    let error = open_error(journals(&fixture.folder)).await;
    assert!(
        matches!(&error, StoreError::Unavailable { detail } if detail.contains("another store")),
        "{error}"
    );
    let lease = begin(&fixture.store, "order-42").await;
    append(&fixture.store, &lease, "charge").await;
    let fixture = fixture.reopen().await;
    begin(&fixture.store, "order-42").await;
}

#[tokio::test]
#[cfg(unix)]
async fn a_link_to_the_folder_is_the_same_store() {
    let fixture = InFolder::new().await;
    let link = fixture.folder.path().join("link");
    std::os::unix::fs::symlink(journals(&fixture.folder), &link).unwrap();
    assert!(matches!(open_error(&link).await, StoreError::Unavailable { .. }));
    let folder = fixture.close().await;
    FileStore::open(&link).await.unwrap().close().await.unwrap();
    drop(folder);
}

#[tokio::test]
#[cfg(unix)]
async fn only_the_user_of_the_process_reads_values() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = InFolder::new().await;
    begin(&fixture.store, "order-42").await;
    begin(&fixture.store, &"x".repeat(512)).await;
    let mut folders = vec![journals(&fixture.folder)];
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.metadata().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
    }
}

#[tokio::test]
async fn a_path_where_no_folder_can_be_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "a file").unwrap();
    for path in
        [folder.path().join("missing").join("journals"), file.clone(), file.join("journals"), "".into()]
    {
        let error = open_error(&path).await;
        assert!(matches!(error, StoreError::NotThere { .. }), "{path:?}: {error}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "a file");
}

#[tokio::test]
async fn other_files_of_the_folder_are_left_alone() {
    let fixture = InFolder::new().await;
    let others = ["notes.txt", "run-A.log", "run-.log", "x.log.new", ".hidden"];
    for name in others {
        fs::write(fixture.file(name), name).unwrap();
    }
    let lease = begin(&fixture.store, "order-42").await;
    append(&fixture.store, &lease, "charge").await;
    let fixture = fixture.reopen().await;
    assert_eq!(keys(&fixture.store, "order-42").await, ["charge"]);
    for name in others {
        assert_eq!(fs::read_to_string(fixture.file(name)).unwrap(), name);
    }
}

#[tokio::test]
async fn a_file_that_came_while_the_folder_was_open_is_not_written_over() {
    let (fixture, other) = (InFolder::new().await, InFolder::new().await);
    let lease = begin(&other.store, "order-42").await;
    append(&other.store, &lease, "charge").await;
    fs::copy(other.file("run-order-42.log"), fixture.file("run-order-42.log")).unwrap();
    fs::write(fixture.file("run-order-43.log"), "awaitly-r").unwrap();
    fs::write(fixture.file("run-order-44.log"), "no file of a run").unwrap();
    let refused = fixture.store.open(request("order-42")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    let refused = fixture.store.open(request("order-44")).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    append(&fixture.store, &begin(&fixture.store, "order-43").await, "ship").await;
    let fixture = fixture.reopen().await;
    assert_eq!(keys(&fixture.store, "order-42").await, ["charge"]);
    assert_eq!(keys(&fixture.store, "order-43").await, ["ship"]);
    assert_eq!(fs::read_to_string(fixture.file("run-order-44.log")).unwrap(), "no file of a run");
}

#[tokio::test]
async fn a_queue_of_one_place_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileOptions::new().queue(0).open(journals(&folder)).await.unwrap();
    let lease = begin(&store, "order-42").await;
    let appends = (0..20).map(async |number: u32| append(&store, &lease, &number.to_string()).await);
    futures_util::future::join_all(appends).await;
    assert_eq!(keys(&store, "order-42").await.len(), 20);
    assert!(store.durability().contains("disk"));
}

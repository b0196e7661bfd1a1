//! A file that cannot be written. Permissions do not bind the superuser, so where these tests run as
//! one, the store is opened by a copy of this binary that runs as nobody.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use awaitly_core::store::{Durability, Store, StoreError};
use awaitly_persistence::SqliteStore;
use tempfile::TempDir;

use super::{InFolder, file, open_error};
use crate::given::{begin, keys, value};

const NOBODY: u32 = 65534;

#[tokio::test]
#[ignore = "the other process of the tests below, started by them"]
async fn unprivileged_user() {
    let path = std::env::var_os("READ_ONLY_PATH").expect("started by a test");
    println!(
        "> {}",
        if matches!(open_error(&path).await, StoreError::ReadOnly { .. }) { "read-only" } else { "other" }
    );
}

/// What opening `path` says to somebody who is bound by permissions.
fn opened_by_unprivileged_user(folder: &TempDir, path: &Path) -> String {
    let copy = folder.path().join("copy-of-this-test");
    // Another process copies: a thread of this one that starts a process hands it every file that is open for writing,
    // and the system executes no such file.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let mut command = Command::new(copy);
    command
        .args(["sqlite::read_only::unprivileged_user", "--exact", "--ignored", "--nocapture"])
        .env("READ_ONLY_PATH", path)
        .current_dir("/")
        .stderr(Stdio::inherit());
    if fs::metadata(folder.path()).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

async fn filled() -> TempDir {
    let InFolder { store, place: folder } = InFolder::new().await;
    let lease = begin(&store, "order-42").await;
    store.append(&lease, value("charge", "1"), Durability::Sync).await.unwrap();
    store.close().await.unwrap();
    folder
}

#[tokio::test]
async fn file_without_write_permission_is_read_only() {
    let folder = filled().await;
    fs::set_permissions(file(&folder), Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let said = opened_by_unprivileged_user(&folder, &file(&folder));
    assert!(said.contains("> read-only"), "{said}");
    fs::set_permissions(file(&folder), Permissions::from_mode(0o644)).unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    assert_eq!(keys(&store, "order-42").await, ["charge"]);
}

#[tokio::test]
async fn folder_without_write_permission_is_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::set_permissions(&inner, Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let said = opened_by_unprivileged_user(&folder, &inner.join("journals.db"));
    assert!(said.contains("> read-only"), "{said}");
}

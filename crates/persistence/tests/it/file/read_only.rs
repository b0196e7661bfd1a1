//! A folder that cannot be written. Permissions do not bind the superuser, so where these tests run as one, the
//! store is opened by a copy of this binary that runs as nobody.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use awaitly_core::store::{Store, StoreError};
use awaitly_persistence::FileStore;
use tempfile::TempDir;

use super::{InFolder, SYNC, append, begin, journals, keys, request, value};

const NOBODY: u32 = 65534;

#[tokio::test]
#[ignore = "the other process of the tests below, started by them"]
async fn nobody() {
    let path = std::env::var_os("READ_ONLY_PATH").expect("started by a test");
    let store = match FileStore::open(path).await {
        Ok(store) => store,
        Err(error) => return println!("> opening: {}", kind(&error)),
    };
    let lease = match store.open(request("order-42")).await {
        Ok(awaitly_core::store::Opened::Held { lease, .. }) => lease,
        Ok(other) => panic!("{other:?}"),
        Err(error) => return println!("> the run: {}", kind(&error)),
    };
    println!("> appending: {}", kind(&store.append(&lease, value("ship", "1"), SYNC).await.unwrap_err()));
    println!("> beginning: {}", kind(&store.open(request("order-43")).await.unwrap_err()));
    println!("> {:?}", keys(&store, "order-42").await);
}

fn kind(error: &StoreError) -> &'static str {
    if matches!(error, StoreError::ReadOnly { .. }) { "read-only" } else { "other" }
}

/// What the store says to somebody who is bound by permissions.
fn said_to_nobody(folder: &TempDir, path: &Path) -> String {
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let copy = folder.path().join("copy-of-this-test");
    // A process of its own copies: what this one has open for writing, a thread that starts another process hands
    // on for a moment, and then it cannot be executed.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let mut command = Command::new(copy);
    command
        .args(["file::read_only::nobody", "--exact", "--ignored", "--nocapture"])
        .env("READ_ONLY_PATH", path)
        .current_dir("/")
        .stderr(Stdio::inherit());
    if fs::metadata(folder.path()).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

async fn filled() -> TempDir {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    append(&fixture.store, &lease, "charge").await;
    fixture.close().await
}

/// Sets the permissions of the folder, of its lock and of the run's file.
fn permit(folder: &TempDir, [inner, lock, file]: [u32; 3]) {
    let journals = journals(folder);
    for (path, mode) in [("lock", lock), ("run-order-42.log", file), ("", inner)] {
        fs::set_permissions(journals.join(path), Permissions::from_mode(mode)).unwrap();
    }
}

#[tokio::test]
async fn a_folder_without_write_permission_is_read_only() {
    let folder = filled().await;
    permit(&folder, [0o555, 0o444, 0o444]);
    assert!(said_to_nobody(&folder, &journals(&folder)).contains("> opening: read-only"));
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::set_permissions(&inner, Permissions::from_mode(0o555)).unwrap();
    assert!(said_to_nobody(&folder, &inner).contains("> opening: read-only"));
    assert!(said_to_nobody(&folder, &inner.join("journals")).contains("> opening: read-only"));
}

#[tokio::test]
async fn a_file_without_write_permission_is_read_only_and_keeps_everything() {
    let folder = filled().await;
    permit(&folder, [0o555, 0o666, 0o444]);
    let said = said_to_nobody(&folder, &journals(&folder));
    for expected in ["> appending: read-only", "> beginning: read-only", "> [\"charge\"]"] {
        assert!(said.contains(expected), "{said}");
    }
    permit(&folder, [0o777, 0o666, 0o000]);
    let said = said_to_nobody(&folder, &journals(&folder));
    assert!(said.contains("> the run: read-only"), "{said}");
    permit(&folder, [0o700, 0o600, 0o600]);
    let store = FileStore::open(journals(&folder)).await.unwrap();
    assert_eq!(keys(&store, "order-42").await, ["charge"]);
}

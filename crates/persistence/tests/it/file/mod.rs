mod closing;
mod damage;
mod folder;
#[cfg(target_os = "linux")]
mod full;
#[cfg(unix)]
mod processes;
#[cfg(unix)]
mod read_only;
mod reopening;

use std::path::{Path, PathBuf};

use awaitly_core::journal::{Kind, Outcome, Payload, Record};
use awaitly_core::store::{Durability, Lease, Open, Opened, Owner, RunId, Store, StoreError, StoredRun};
use awaitly_persistence::FileStore;
use awaitly_persistence::conformance::Fixture;
use tempfile::TempDir;

mod conformance {
    use super::InFolder;
    awaitly_persistence::conformance_tests!(InFolder::new().await);
}

const SYNC: Durability = Durability::Sync;

/// A store in a folder of its own.
struct InFolder {
    store: FileStore,
    folder: TempDir,
}

impl InFolder {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(journals(&folder)).await.unwrap();
        Self { store, folder }
    }

    /// The folder of the store, closed.
    async fn close(self) -> TempDir {
        self.store.close().await.unwrap();
        self.folder
    }

    /// The same folder, opened again.
    async fn reopen(self) -> Self {
        let folder = self.close().await;
        let store = FileStore::open(journals(&folder)).await.unwrap();
        Self { store, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        journals(&self.folder).join(name)
    }
}

impl Fixture for InFolder {
    type Store = FileStore;

    fn store(&self) -> &FileStore {
        &self.store
    }
}

fn journals(folder: &TempDir) -> PathBuf {
    folder.path().join("journals")
}

fn run(id: &str) -> RunId {
    RunId::new(id).unwrap()
}

fn request(id: &str) -> Open {
    Open::new(run(id), "checkout", Owner::unique())
}

fn value(key: &str, json: &str) -> Record {
    let outcome = Outcome::from_parts(Kind::Value, Payload::from_stored(json));
    Record { key: String::from(key).into(), outcome, input: None }
}

async fn hold(store: &impl Store, request: Open) -> (Lease, StoredRun) {
    match store.open(request).await.unwrap() {
        Opened::Held { lease, run, .. } => (lease, run),
        other => panic!("expected the lease, got {other:?}"),
    }
}

async fn begin(store: &impl Store, id: &str) -> Lease {
    hold(store, request(id)).await.0
}

async fn append(store: &impl Store, lease: &Lease, key: &str) {
    store.append(lease, value(key, "1"), SYNC).await.unwrap();
}

async fn load(store: &impl Store, id: &str) -> StoredRun {
    store.load(&run(id)).await.unwrap().unwrap()
}

async fn keys(store: &impl Store, id: &str) -> Vec<String> {
    load(store, id).await.records.iter().map(|record| record.key.to_string()).collect()
}

async fn open_error(path: impl AsRef<Path>) -> StoreError {
    FileStore::open(path).await.expect_err("the store was opened")
}

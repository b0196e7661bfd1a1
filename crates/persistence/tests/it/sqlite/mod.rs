mod closing;
mod damage;
mod flipping;
mod full;
mod group_commit;
mod owners;
#[cfg(unix)]
mod processes;
#[cfg(unix)]
mod read_only;
mod reopening;
mod watching;

use std::path::{Path, PathBuf};

use awaitly_core::journal::{Kind, Outcome, Payload, Record, Refused};
use awaitly_core::store::{Durability, Lease, Open, Opened, Owner, RunId, Store, StoreError, StoredRun};
use awaitly_persistence::SqliteStore;
use awaitly_persistence::conformance::Fixture;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

mod conformance {
    use super::InFolder;
    awaitly_persistence::conformance_tests!(InFolder::new().await);
    awaitly_persistence::closing_tests!(InFolder::new().await);
}

/// Two stores on one file, as in two processes.
mod alternating {
    use super::{SqliteStore, file};
    use crate::alternating::Alternating;

    async fn two() -> Alternating<SqliteStore, tempfile::TempDir> {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder);
        Alternating::new(
            [SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap()],
            folder,
        )
    }

    awaitly_persistence::conformance_tests!(two().await);
}

/// A store on a file of its own.
struct InFolder {
    store: SqliteStore,
    folder: TempDir,
}

impl InFolder {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(file(&folder)).await.unwrap();
        Self { store, folder }
    }

    /// The same file, closed and opened again.
    async fn reopen(self) -> Self {
        self.store.close().await.unwrap();
        let store = SqliteStore::open(file(&self.folder)).await.unwrap();
        Self { store, folder: self.folder }
    }

    fn file(&self) -> PathBuf {
        file(&self.folder)
    }

    /// The same file through a connection that knows nothing of the store.
    fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).unwrap()
    }

    /// Changes the one run, and its checksum with it.
    fn change_run(&self, sql: &str) {
        let sql = (self.sql(), sql);
        assert_eq!(sql.0.execute(sql.1, []).unwrap(), 1);
        let checksum = sql.0.query_row(&format!("SELECT {RUN} FROM awaitly_runs"), [], checksum).unwrap();
        sql.0.execute("UPDATE awaitly_runs SET checksum = ?", [checksum]).unwrap();
    }
}

impl Fixture for InFolder {
    type Store = SqliteStore;

    fn store(&self) -> &SqliteStore {
        &self.store
    }
}

/// The columns under the checksum of a run.
const RUN: &str = "id, run_id, workflow, version, format, status, failed_on, token, owner, owner_file, lease_until, error, \
    created_at, changed_at, wake_at, cancel_requested, body_checksum";

/// The checksum as the format says it is: CRC-32 over the type and the bytes of each value, those of a text behind their
/// number.
fn checksum(row: &rusqlite::Row<'_>) -> rusqlite::Result<i32> {
    let mut bytes = Vec::new();
    for column in 0..row.as_ref().column_count() {
        match row.get_ref(column)? {
            ValueRef::Null => bytes.push(0),
            ValueRef::Integer(number) => {
                bytes.push(1);
                bytes.extend(number.to_le_bytes());
            }
            ValueRef::Text(text) => {
                bytes.push(3);
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text);
            }
            other => panic!("{other:?} is in no column"),
        }
    }
    Ok(crc32fast::hash(&bytes).cast_signed())
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("journals.db")
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

async fn is_busy(store: &impl Store, id: &str) -> bool {
    matches!(store.open(request(id)).await.unwrap(), Opened::Refused(Refused::Busy { .. }))
}

async fn keys(store: &impl Store, id: &str) -> Vec<String> {
    let stored = store.load(&run(id)).await.unwrap().unwrap();
    stored.records.iter().map(|record| record.key.to_string()).collect()
}

/// The number that a variable of the environment gives; `usual` if it is not set.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |number| number.parse().expect("a whole number"))
}

async fn open_error(path: impl AsRef<Path>) -> StoreError {
    SqliteStore::open(path).await.expect_err("the store was opened")
}

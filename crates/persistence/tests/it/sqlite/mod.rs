mod alike;
mod closing;
mod damage;
mod exchange;
mod flipping;
mod full;
mod group_commit;
mod owners;
#[cfg(unix)]
mod processes;
mod queues;
#[cfg(unix)]
mod read_only;
mod reopening;
mod watching;

use std::path::{Path, PathBuf};

use awaitly_core::store::StoreError;
use awaitly_persistence::SqliteStore;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

use crate::place::{Place, Placed};

mod conformance {
    use super::InFolder;
    awaitly_persistence::conformance_tests!(InFolder::new().await);
    awaitly_persistence::closing_tests!(InFolder::new().await);
    awaitly_persistence::dispatch_tests!(InFolder::new().await);
}

/// Two stores on one file, as in two processes.
mod alternating {
    use crate::alternating::Alternating;

    awaitly_persistence::conformance_tests!(Alternating::<tempfile::TempDir>::new().await);
    awaitly_persistence::dispatch_tests!(Alternating::<tempfile::TempDir>::new().await);
}

type InFolder = Placed<TempDir>;

impl Place for TempDir {
    type Store = SqliteStore;

    fn empty() -> Self {
        tempfile::tempdir().unwrap()
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(file(self)).await.unwrap()
    }
}

impl InFolder {
    /// The same file, closed and opened again.
    async fn reopen(self) -> Self {
        self.store.close().await.unwrap();
        Self { store: self.place.open().await, place: self.place }
    }

    fn file(&self) -> PathBuf {
        file(&self.place)
    }

    /// The same file through a connection that knows nothing of the store.
    fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).unwrap()
    }

    /// Sets columns of a run, and its checksum with them.
    fn change_run(&self, run: &str, set: &str) {
        let sql = self.sql();
        let changed = sql.execute(&format!("UPDATE awaitly_runs SET {set} WHERE run_id = ?"), [run]);
        assert_eq!(changed.unwrap(), 1);
        let found = format!("SELECT {RUN} FROM awaitly_runs WHERE run_id = ?");
        let checksum = sql.query_row(&found, [run], checksum).unwrap();
        sql.execute("UPDATE awaitly_runs SET checksum = ? WHERE run_id = ?", (checksum, run)).unwrap();
    }
}

/// The columns under the checksum of a run.
const RUN: &str = "id, run_id, workflow, version, format, status, failed_on, token, owner, lock_file, lease_until, error, \
    created_at, changed_at, wake_at, cancel_requested, body_checksum, queue, queue_key, priority, rank, start_by, paused, \
    crashes, due_at, parent_run, parent_key, tags, unique_key, has_mail, restarts";

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

/// The number that a variable of the environment gives; `usual` if it is not set.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |number| number.parse().expect("a whole number"))
}

async fn open_error(path: impl AsRef<Path>) -> StoreError {
    SqliteStore::open(path).await.expect_err("the store was opened")
}

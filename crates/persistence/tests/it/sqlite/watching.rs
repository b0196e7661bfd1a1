//! The file is removed, replaced or cut while it is open: nothing is acknowledged from then on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use awaitly_core::store::{DueQuery, Durability, Lease, Operate, Store, StoreError};
use awaitly_persistence::{SqliteOptions, SqliteStore};

use super::{InFolder, file};
use crate::given::{begin, keys, request, value};

fn log(fixture: &InFolder) -> PathBuf {
    fixture.place.path().join("journals.db-wal")
}

/// A store whose file has a run of a few hundred records, of which some are in the log only.
async fn filled() -> (InFolder, Lease) {
    let fixture = InFolder::new().await;
    let lease = begin(&fixture.store, "order-42").await;
    for number in 0..300 {
        let record = value(&format!("step-{number}"), "\"a text of some length, so that pages fill up\"");
        fixture.store.append(&lease, record, Durability::Batched).await.unwrap();
        if number == 280 {
            fixture.sql().query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap();
        }
    }
    (fixture, lease)
}

/// After `harm` to the files of an open store, every write is refused, and so is the end of the store.
async fn assert_refused_after(harm: impl FnOnce(&InFolder), is_expected: impl Fn(&StoreError) -> bool) {
    let (fixture, lease) = filled().await;
    harm(&fixture);
    for attempt in 0..3 {
        let appended =
            fixture.store.append(&lease, value(&format!("late-{attempt}"), "1"), Durability::Sync).await;
        assert!(appended.as_ref().is_err_and(&is_expected), "{appended:?}");
    }
    let opened = fixture.store.open(request("order-43")).await;
    assert!(opened.as_ref().is_err_and(&is_expected), "{opened:?}");
    let due = fixture.store.due(DueQuery::new()).await;
    assert!(due.as_ref().is_err_and(&is_expected), "{due:?}");
    let closed = fixture.store.clone().close().await;
    assert!(closed.as_ref().is_err_and(&is_expected), "{closed:?}");
}

const fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::NotThere { .. })
}

const fn is_corrupt(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt { .. })
}

#[tokio::test]
#[cfg(unix)]
async fn removed_file_refuses_every_later_write() {
    assert_refused_after(|fixture| fs::remove_file(fixture.file()).unwrap(), is_gone).await;
}

#[tokio::test]
#[cfg(unix)]
async fn removed_log_refuses_every_later_write() {
    let (fixture, lease) = filled().await;
    fs::remove_file(log(&fixture)).unwrap();
    // In a stream of commits the log is looked for once in a millisecond.
    let mut appended = Ok(());
    for number in 0.. {
        appended =
            fixture.store.append(&lease, value(&format!("late-{number}"), "1"), Durability::Sync).await;
        if appended.is_err() || number == 10_000 {
            break;
        }
    }
    assert!(appended.as_ref().is_err_and(is_gone), "{appended:?}");
    assert!(fixture.store.clone().close().await.as_ref().is_err_and(is_gone));
}

#[tokio::test]
#[cfg(unix)]
async fn replaced_file_refuses_every_later_write() {
    let copy = |fixture: &InFolder| {
        let copy = fixture.place.path().join("copy.db");
        assert!(Command::new("cp").args([&fixture.file(), &copy]).status().unwrap().success());
        fs::rename(copy, fixture.file()).unwrap();
    };
    assert_refused_after(copy, is_gone).await;
    let another = |fixture: &InFolder| {
        fs::rename(fixture.file(), fixture.place.path().join("moved.db")).unwrap();
        fs::write(fixture.file(), "").unwrap();
    };
    assert_refused_after(another, is_gone).await;
}

#[tokio::test]
#[cfg(unix)]
async fn file_that_came_back_takes_writes_again() {
    let (fixture, lease) = filled().await;
    let elsewhere = fixture.place.path().join("elsewhere.db");
    fs::rename(fixture.file(), &elsewhere).unwrap();
    assert!(fixture.store.append(&lease, value("while it was away", "1"), Durability::Sync).await.is_err());
    fs::rename(elsewhere, fixture.file()).unwrap();
    fixture.store.append(&lease, value("afterwards", "1"), Durability::Sync).await.unwrap();
    assert!(keys(&fixture.store, "order-42").await.contains(&"afterwards".into()));
}

#[tokio::test]
async fn cut_file_refuses_every_later_write() {
    for quarters in 0..4 {
        let cut = |fixture: &InFolder| {
            // A page that is in the log too could do without the file.
            fixture.sql().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            let length = fs::metadata(fixture.file()).unwrap().len();
            cut(&fixture.file(), length / 4 * quarters);
        };
        assert_refused_after(cut, is_corrupt).await;
    }
}

#[tokio::test]
async fn cut_log_refuses_every_later_write() {
    assert_refused_after(|fixture| cut(&log(fixture), 0), is_corrupt).await;
    // The log keeps its length when it is emptied, so a part of it may be left over from earlier.
    assert_refused_after(|fixture| cut(&log(fixture), 5000), is_corrupt).await;
}

#[tokio::test]
async fn file_that_shrank_for_good_takes_writes() {
    let (fixture, lease) = filled().await;
    fixture.store.release(&lease);
    let lease = begin(&fixture.store, "order-43").await;
    let longest = fs::metadata(fixture.file()).unwrap().len();
    let sql = fixture.sql();
    sql.execute_batch("DELETE FROM awaitly_steps; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(fs::metadata(fixture.file()).unwrap().len() < longest);
    assert_eq!(fs::metadata(log(&fixture)).unwrap().len(), 0);
    fixture.store.append(&lease, value("afterwards", "1"), Durability::Sync).await.unwrap();
    sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    fixture.store.append(&lease, value("and again", "1"), Durability::Sync).await.unwrap();
    assert_eq!(keys(&fixture.store, "order-43").await, ["afterwards", "and again"]);
}

/// Appends go on while the file is removed, replaced or cut at some moment. Those that begin after that moment are refused,
/// or they are in the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(unix)]
async fn harm_at_any_moment_loses_no_acknowledged_write() {
    let harms: [fn(&Path); 4] = [
        |path| fs::remove_file(path).unwrap(),
        |path| {
            let other = path.with_extension("other");
            fs::write(&other, "").unwrap();
            fs::rename(other, path).unwrap();
        },
        |path| cut(path, fs::metadata(path).unwrap().len() / 2),
        |path| cut(path, 0),
    ];
    let mut refused = 0;
    for round in 0..super::number("AWAITLY_HARMS", 16) {
        let folder = tempfile::tempdir().unwrap();
        let is_cut = round % harms.len() >= 2;
        // A cut in the middle of copying the log into the file is not noticed, so only the test copies it then.
        let pages = if is_cut { 1_000_000 } else { 100 };
        let store = SqliteOptions::new().checkpoint_pages(pages).open(file(&folder)).await.unwrap();
        let (written, harmed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut writers = Vec::new();
        for writer in 0..4 {
            let lease = begin(&store, &format!("order-{writer}")).await;
            writers.push(tokio::spawn(write(store.clone(), lease, written.clone(), harmed.clone())));
        }
        let wait_until = async |number| {
            while written.load(Ordering::SeqCst) < number {
                tokio::task::yield_now().await;
            }
        };
        wait_until(50).await;
        if is_cut {
            let sql = rusqlite::Connection::open(file(&folder)).unwrap();
            sql.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap();
        }
        // Each round at another point between the times that the log is copied into the file.
        wait_until(written.load(Ordering::SeqCst) + 50 + round * 97 % 1000).await;
        harms[round % harms.len()](&file(&folder));
        harmed.store(true, Ordering::SeqCst);
        let mut late = Vec::new();
        for writer in writers {
            let acknowledged = writer.await.unwrap();
            refused += usize::from(acknowledged.len() < LATE);
            late.push(acknowledged);
        }
        drop(store.close().await);
        if late.iter().any(|keys| !keys.is_empty()) {
            let store = SqliteStore::open(file(&folder)).await;
            let store = store.unwrap_or_else(|error| panic!("lost after the harm of round {round}: {error}"));
            for (writer, late) in late.iter().enumerate() {
                let stored = keys(&store, &format!("order-{writer}")).await;
                assert!(late.iter().all(|key| stored.contains(key)), "lost after the harm of round {round}");
            }
        }
    }
    assert!(refused > 0, "no harm did any");
}

/// How many appends a writer begins after the harm.
const LATE: usize = 20;

/// Appends until one is refused, and returns the keys of the acknowledged appends that began after the harm.
async fn write(
    store: SqliteStore,
    lease: Lease,
    written: Arc<AtomicUsize>,
    harmed: Arc<AtomicBool>,
) -> Vec<String> {
    let mut late = Vec::new();
    for number in 0.. {
        let (key, is_late) = (number.to_string(), harmed.load(Ordering::SeqCst));
        match store.append(&lease, value(&key, "1"), Durability::Batched).await {
            Ok(()) => _ = written.fetch_add(1, Ordering::SeqCst),
            Err(StoreError::NotThere { .. } | StoreError::Corrupt { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        if is_late {
            late.push(key);
        }
        if late.len() == LATE {
            break;
        }
    }
    late
}

/// In a process of its own: to close the file in this one would drop the locks that SQLite has on it.
fn cut(path: &Path, length: u64) {
    let to = format!("of={}", path.display());
    let cut =
        Command::new("dd").args(["if=/dev/null", &to, "bs=1", &format!("seek={length}")]).output().unwrap();
    assert!(cut.status.success(), "{cut:?}");
}

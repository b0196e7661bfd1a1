//! The writer thread.
//!
//! It takes the operations that have queued up since its last commit returned, carries them out in one transaction, and
//! answers each of them: see [`group`](crate::group).

use std::path::Path;
use std::thread;

use awaitly_core::store::{Bell, StoreError};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::commit::Committer;
use super::dispatch::Queues;
use super::error::{Failure, store_error, unavailable};
use super::leases::Leases;
use super::op::Op;
use super::options::Synchronous;
use super::owners::Owners;
use super::reader::{Jobs, Readers};
use super::watch::{Id, Watch};
use super::{SqliteOptions, checksum, schema, whole};
use crate::group::Receiver;

/// The page size of a file that the store creates; an existing file keeps its own.
///
/// A commit writes every page that it touched, and each run that recorded an outcome touches one. Records are small, so
/// small pages make small commits: with 16 runs, the store makes a sixth more commits per second than with SQLite's
/// usual 4096 bytes.
const PAGE_BYTES: i64 = 1024;

/// More than the number of different statements of the writer.
const STATEMENTS: usize = 128;

/// SQLite's limit for the number of pages in a file.
const MOST_PAGES: i64 = 0xffff_fffe;

pub(super) struct Writer {
    pub(super) options: SqliteOptions,
    pub(super) ops: Receiver<Op>,
    pub(super) bell: Bell,
}

impl Writer {
    /// Opens `path` in a new thread, reports the result through `ready`, and writes until the store is closed or its
    /// last handle is dropped.
    pub(super) fn spawn(
        self,
        path: Box<Path>,
        ready: oneshot::Sender<Result<Jobs, StoreError>>,
    ) -> Result<(), StoreError> {
        let thread = thread::Builder::new().name("awaitly-sqlite".into());
        let spawned = thread.spawn(move || {
            match self.open(&path).map_err(|failure| failure.at_opening(&path)) {
                Ok((committer, readers)) => {
                    // If the caller is gone, no handles exist, and the loop ends at once.
                    drop(ready.send(Ok(readers.jobs())));
                    self.run(committer, readers);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        spawned.map(drop).map_err(|error| unavailable(&error))
    }

    fn open(&self, path: &Path) -> Result<(Committer, Readers), Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let before = Id::at(path);
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(self.options.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let found = schema::check(&connection)?;
        if connection.is_readonly("main")? {
            return Err(
                StoreError::ReadOnly { detail: "the file cannot be opened for writing".into() }.into()
            );
        }
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        schema::write_ahead(&connection, self.options.busy_timeout)?;
        self.options.apply(&connection)?;
        // The path as SQLite resolved it, so that different links to one file lead to one folder of locks.
        let resolved = connection.path().map_or_else(|| path.into(), |path| Path::new(path).to_owned());
        checksum::register(&connection)?;
        let is_checked = found > 0 && self.options.checks_whole_file;
        if is_checked {
            whole::pages(&connection)?;
        }
        let owners = schema::migrate(&mut connection, |connection| Owners::enter(&resolved, connection))?;
        whole::tables(&connection)?;
        if is_checked {
            checksum::verify_all(&connection)?;
        }
        let readers = Readers::spawn(path, self.options.busy_timeout)?;
        let watch = Watch::begin(&resolved, before)?;
        let committer = Committer {
            connection,
            leases: Leases::default(),
            queues: Queues::default(),
            owners,
            watch,
            bell: self.bell.clone(),
            synchronous: self.options.synchronous,
            set: self.options.synchronous,
        };
        Ok((committer, readers))
    }

    fn run(mut self, mut committer: Committer, readers: Readers) {
        let mut ops = Vec::new();
        while self.ops.blocking_take(&mut ops) {
            let company = ops.len();
            if company > 0 {
                committer.commit(&mut ops);
                self.ops.blocking_gather(company);
            }
        }
        readers.stop();
        self.bell.end();
        self.ops.closed(committer.close());
    }
}

impl Committer {
    /// Copies the write-ahead log into the file, and closes the file. Returns an error if the file is not the one that
    /// was written.
    fn close(self) -> Result<(), StoreError> {
        let Self { connection, leases, owners, mut watch, .. } = self;
        let watched = watch.look(&connection);
        // If another process is reading, the log stays, and the last process that closes the file copies it.
        let copied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        connection.flush_prepared_statement_cache();
        let closed = copied.and_then(|()| connection.close().map_err(|(_, error)| error));
        if leases.may_be_held() {
            owners.leave();
        }
        watched.and(closed.map_err(|error| store_error(&error)))
    }
}

impl SqliteOptions {
    fn apply(&self, connection: &Connection) -> rusqlite::Result<()> {
        // On macOS, a plain `fsync` leaves the data in the disk's cache.
        connection.pragma_update(None, "fullfsync", self.synchronous == Synchronous::Full)?;
        connection.pragma_update(None, "checkpoint_fullfsync", self.synchronous == Synchronous::Full)?;
        connection.execute_batch(self.synchronous.pragma())?;
        connection.pragma_update(None, "wal_autocheckpoint", self.checkpoint_pages)?;
        // After a burst, the log shrinks to this many bytes.
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        if let Some(bytes) = self.max_bytes {
            let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = (i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1)).clamp(1, MOST_PAGES);
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        Ok(())
    }
}

impl Synchronous {
    pub(super) const fn pragma(self) -> &'static str {
        match self {
            Self::Full => "PRAGMA synchronous = FULL",
            Self::Normal => "PRAGMA synchronous = NORMAL",
        }
    }
}

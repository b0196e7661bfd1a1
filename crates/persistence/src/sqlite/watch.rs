//! Detects whether the open file is still the file at its path.
//!
//! SQLite does not notice if its file is removed or replaced: the operating system keeps a removed file until it is
//! closed, and every write to it succeeds and is lost. A truncated file grows again with the next write, and has a
//! hole. Therefore each commit compares the file at the path of the database with the file that SQLite opened: its
//! identity, and its size with the last known size. A file also shrinks for good reasons, by `VACUUM` or when the log
//! is emptied; in that case the store checks the database for missing content.
//!
//! The store checks the database file before it acknowledges a commit. It never opens the file for that, because
//! closing it again would drop SQLite's locks on it. A commit may make a truncated file grow again, so the store also
//! checks before the commit, unless it did so within the last millisecond: in a stream of commits, one check for each
//! is enough.
//!
//! The log is never checked with `stat`. If a program reads the times of a file, Linux updates them with the next
//! write, and the `fsync` of the commit then takes half as long again.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Seek, SeekFrom};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use awaitly_core::store::StoreError;
use rusqlite::{Connection, OpenFlags};

use super::error::{Failure, unavailable};
use super::whole;

/// The unit of the number of blocks of a file, in bytes.
#[cfg(unix)]
const BLOCK: u64 = 512;

/// The age up to which a check of the files is recent enough for the next commit.
const MOMENT: Duration = Duration::from_millis(1);

/// The files of an open database.
#[derive(Debug)]
pub(super) struct Watch {
    database: PathBuf,
    id: Id,
    /// The size of the database at the last check.
    size: Size,
    log: Log,
    /// The time of the last check of both files before a commit.
    looked: Option<Instant>,
    /// The database became smaller, and it is not known yet whether content is missing.
    has_shrunk: bool,
    /// The error of a truncated file. It stays, even after the file has grown again.
    cut: Option<StoreError>,
}

impl Watch {
    /// Starts to watch the database at `path`, which SQLite has open. `id` is the identity of the file at the path
    /// before it was opened; [`None`] if the file did not exist.
    pub(super) fn begin(path: &Path, id: Option<Id>) -> Result<Self, StoreError> {
        let found = metadata(path)?;
        let (found, size) = (Id::of(&found), Size::of(&found));
        if id.is_some_and(|id| id != found) {
            return Err(gone(path));
        }
        Ok(Self {
            database: path.into(),
            id: found,
            size,
            log: Log::of(path)?,
            looked: None,
            has_shrunk: false,
            cut: None,
        })
    }

    /// Checks the files before a commit.
    pub(super) fn before_commit(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.cut.clone().map_or(Ok(()), Err)?;
        if self.log.is_cut(connection)? {
            return Err(self.is_cut("the write-ahead log"));
        }
        if self.looked.is_some_and(|looked| looked.elapsed() < MOMENT) {
            return Ok(());
        }
        self.look(connection)
    }

    /// Checks the files regardless of the last check.
    pub(super) fn look(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.cut.clone().map_or(Ok(()), Err)?;
        self.log.is_there()?;
        self.before_acknowledging(connection)?;
        self.looked = Some(Instant::now());
        Ok(())
    }

    /// Checks the database after a commit, before the commit is acknowledged.
    pub(super) fn before_acknowledging(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let found = metadata(&self.database)?;
        if Id::of(&found) != self.id {
            return Err(gone(&self.database));
        }
        let size = Size::of(&found);
        self.has_shrunk |= size.is_less_than(self.size);
        self.size = size;
        if self.has_shrunk && self.is_damaged(connection)? {
            return Err(self.is_cut("the file"));
        }
        self.has_shrunk = false;
        Ok(())
    }

    /// Returns `true` if content is missing in the file, according to a connection with an empty cache. The log is
    /// copied into the file first, because a page that was already copied stays in the log only until the log restarts.
    fn is_damaged(&self, connection: &Connection) -> Result<bool, StoreError> {
        match self.check_again(connection) {
            Ok(()) => Ok(false),
            Err(StoreError::Corrupt { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn check_again(&self, connection: &Connection) -> Result<(), StoreError> {
        if pragma(connection, "PRAGMA wal_checkpoint(RESTART)", 0)? != 0 {
            let detail = "the file has become shorter, and other processes keep it busy".into();
            return Err(StoreError::Unavailable { detail });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let again = Connection::open_with_flags(&self.database, flags).map_err(Failure::from)?;
        Ok(whole::verify(&again)?)
    }

    fn is_cut(&mut self, part: &str) -> StoreError {
        let detail = format!("{part} was cut while it was open").into();
        self.cut.insert(StoreError::Corrupt { detail }).clone()
    }
}

/// The write-ahead log.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    /// SQLite holds no locks on this file.
    file: File,
    /// The length at the last check.
    length: u64,
}

impl Log {
    fn of(database: &Path) -> Result<Self, StoreError> {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        let path = PathBuf::from(path);
        let file = File::open(&path).map_err(|error| lost(&path, &error))?;
        Ok(Self { path, file, length: 0 })
    }

    /// Returns an error if no file exists at the path.
    fn is_there(&self) -> Result<(), StoreError> {
        // The file is not a link, so this call always fails; the error tells whether the file exists.
        match fs::read_link(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(gone(&self.path)),
            _ => Ok(()),
        }
    }

    /// Returns `true` if the log is shorter than its content.
    fn is_cut(&mut self, connection: &Connection) -> Result<bool, StoreError> {
        let length = self.file.seek(SeekFrom::End(0)).map_err(|error| unavailable(&error))?;
        if length < self.length {
            let page: u64 = pragma(connection, "PRAGMA page_size", 0)?;
            let frames: u64 = pragma(connection, "PRAGMA wal_checkpoint(NOOP)", 1)?;
            if frames > 0 && length < 32 + frames * (24 + page) {
                return Ok(true);
            }
        }
        self.length = length;
        Ok(false)
    }
}

/// The identity of a file, unique on the machine while the file is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl Id {
    /// Returns the identity of the file at `path`, if it exists.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::of)
    }

    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device_and_inode: (metadata.dev(), metadata.ino()) }
    }

    /// On this system, an open file can be neither removed nor replaced.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Self {
        Self {}
    }
}

/// The size of a file. A file that was truncated and has grown again has its old length, but with a hole: fewer blocks than
/// before, and fewer than its length needs. The second condition matters because a file system also takes back blocks that
/// it had reserved.
#[derive(Debug, Clone, Copy)]
struct Size {
    length: u64,
    #[cfg(unix)]
    blocks: u64,
}

impl Size {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), blocks: metadata.blocks() }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len() }
    }

    fn is_less_than(self, before: Self) -> bool {
        #[cfg(unix)]
        if self.blocks < before.blocks && self.blocks.saturating_mul(BLOCK) < self.length {
            return true;
        }
        self.length < before.length
    }
}

fn metadata(path: &Path) -> Result<Metadata, StoreError> {
    fs::metadata(path).map_err(|error| lost(path, &error))
}

fn lost(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::NotFound => gone(path),
        _ => unavailable(error),
    }
}

fn gone(path: &Path) -> StoreError {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let detail =
        format!("`{name}` was removed or replaced while it was open, put it back and open the store again");
    StoreError::NotThere { detail: detail.into() }
}

fn pragma(connection: &Connection, sql: &str, column: usize) -> Result<u64, StoreError> {
    let value = connection.query_row(sql, [], |row| row.get::<_, i64>(column)).map_err(Failure::from)?;
    Ok(u64::try_from(value).unwrap_or(0))
}

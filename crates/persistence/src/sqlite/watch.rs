//! Whether the open file is still the file at its path.
//!
//! SQLite does not notice that its file was removed or replaced: the system keeps a removed file until it is closed, and
//! every write to it succeeds and is gone with it. A file that was cut grows again with the next write, and has a hole.
//! So each commit compares the files at the paths of the database and of its write-ahead log with those that SQLite
//! opened: their identity, and their size with the last one seen. A file shrinks for good reasons too, by `VACUUM` or
//! when the log is emptied; then the database itself says whether something is missing.
//!
//! The database is looked at before a commit, as the commit may make it grow again, and once more before the commit is
//! acknowledged. Only `stat` is used: to open and close the file here would drop the locks that SQLite has on it.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use awaitly_core::store::StoreError;
use rusqlite::{Connection, OpenFlags};

use super::error::Failure;
use super::whole;
use super::writer::unavailable;

/// The files of an open database.
#[derive(Debug)]
pub(super) struct Watch {
    database: Part,
    log: Part,
    /// The database became smaller, and what is missing in it is not known yet.
    has_shrunk: bool,
    /// A cut file stays cut, also after it has grown again.
    cut: Option<StoreError>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    id: Id,
    /// When it was last looked at.
    size: Size,
}

impl Watch {
    /// Begins to watch the database at `path`, which `connection` has open. `id` is that of the file at the path before
    /// it was opened; [`None`] if there was none.
    pub(super) fn begin(path: &Path, id: Option<Id>) -> Result<Self, StoreError> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let (database, log) = (Part::at(path.to_owned())?, Part::at(log.into())?);
        if id.is_some_and(|id| id != database.id) {
            return Err(gone(path));
        }
        Ok(Self { database, log, has_shrunk: false, cut: None })
    }

    /// Checks the files before a commit.
    pub(super) fn before_commit(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.cut.clone().map_or(Ok(()), Err)?;
        let size = self.log.size()?;
        if size.is_less_than(self.log.size) && log_is_cut(connection, size)? {
            return Err(self.is_cut("the write-ahead log"));
        }
        self.log.size = size;
        self.before_acknowledging(connection)
    }

    /// Checks the database after a commit, before it is acknowledged.
    pub(super) fn before_acknowledging(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let size = self.database.size()?;
        self.has_shrunk |= size.is_less_than(self.database.size);
        self.database.size = size;
        if self.has_shrunk && self.is_damaged(connection)? {
            return Err(self.is_cut("the file"));
        }
        self.has_shrunk = false;
        Ok(())
    }

    /// Whether something is missing in the file, by a connection that has nothing of it in its cache. The log is copied into
    /// the file before: a page that was copied already is in the log only until the log begins anew.
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
        let again = Connection::open_with_flags(&self.database.path, flags).map_err(Failure::from)?;
        Ok(whole::verify(&again)?)
    }

    fn is_cut(&mut self, part: &str) -> StoreError {
        let detail = format!("{part} was cut while it was open").into();
        self.cut.insert(StoreError::Corrupt { detail }).clone()
    }
}

impl Part {
    fn at(path: PathBuf) -> Result<Self, StoreError> {
        let found = metadata(&path)?;
        Ok(Self { path, id: Id::of(&found), size: Size::of(&found) })
    }

    /// How large the file is now. It is an error if it is not at its path.
    fn size(&self) -> Result<Size, StoreError> {
        let found = metadata(&self.path)?;
        if Id::of(&found) == self.id { Ok(Size::of(&found)) } else { Err(gone(&self.path)) }
    }
}

/// What tells a file from every other one of the machine, for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl Id {
    /// The identity of the file at `path`, if there is one.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::of)
    }

    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device_and_inode: (metadata.dev(), metadata.ino()) }
    }

    /// An open file can be neither removed nor replaced there.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Self {
        Self {}
    }
}

/// How large a file is. A file that was cut and has grown again is as long as before, with a hole in it.
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
        if self.blocks < before.blocks {
            return true;
        }
        self.length < before.length
    }
}

fn metadata(path: &Path) -> Result<Metadata, StoreError> {
    fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => gone(path),
        _ => unavailable(&error),
    })
}

fn gone(path: &Path) -> StoreError {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let detail =
        format!("`{name}` was removed or replaced while it was open, put it back and open the store again");
    StoreError::NotThere { detail: detail.into() }
}

/// Whether a log of that size is shorter than what is in it.
fn log_is_cut(connection: &Connection, Size { length, .. }: Size) -> Result<bool, StoreError> {
    let page: u64 = pragma(connection, "PRAGMA page_size", 0)?;
    let frames: u64 = pragma(connection, "PRAGMA wal_checkpoint(NOOP)", 1)?;
    Ok(frames > 0 && length < 32 + frames * (24 + page))
}

fn pragma(connection: &Connection, sql: &str, column: usize) -> Result<u64, StoreError> {
    let value = connection.query_row(sql, [], |row| row.get::<_, i64>(column)).map_err(Failure::from)?;
    Ok(u64::try_from(value).unwrap_or(0))
}

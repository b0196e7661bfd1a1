use std::path::Path;
use std::time::Duration;

use awaitly_core::store::StoreError;

use super::SqliteStore;

/// The durability of a commit, named after SQLite's settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Synchronous {
    /// An acknowledged write survives a crash of the program, a crash of the system and a loss of power:
    /// `synchronous=FULL`, and `fullfsync` on macOS.
    #[default]
    Full,
    /// An acknowledged write survives a crash of the program. A crash of the system or a loss of power may undo the
    /// newest writes, but never a write in the middle: `synchronous=NORMAL`.
    Normal,
}

/// The extent of the check when a file is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SqliteCheck {
    /// Checks every page, every index, and the checksum of every row. The store reads the file twice, which takes a few
    /// seconds per gigabyte.
    #[default]
    Whole,
    /// Checks the definitions of the tables. The store still checks each row that it reads, but it does not notice a
    /// row that a damaged page, index or key hides. Use this for large files that are checked at another time, or to
    /// save the readable rest of a damaged file.
    Tables,
}

/// The options of a [`SqliteStore`].
///
/// # Default
/// Full durability, 5 seconds for a busy database, 1024 places in the write queue, no size limit, and a check of the
/// whole file when it is opened.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use awaitly_persistence::{SqliteOptions, Synchronous};
///
/// # async fn open() -> Result<(), awaitly_core::store::StoreError> {
/// let store = SqliteOptions::new()
///     .synchronous(Synchronous::Normal)
///     .busy_timeout(Duration::from_secs(1))
///     .open("journals.db")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SqliteOptions {
    pub(super) synchronous: Synchronous,
    pub(super) busy_timeout: Duration,
    pub(super) queue: usize,
    pub(super) checkpoint_pages: u32,
    pub(super) max_bytes: Option<u64>,
    pub(super) check: SqliteCheck,
}

impl SqliteOptions {
    /// Creates options with the defaults.
    pub const fn new() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            queue: 1024,
            checkpoint_pages: 1000,
            max_bytes: None,
            check: SqliteCheck::Whole,
        }
    }

    /// Sets the durability of a commit; [`Synchronous::Full`] unless set.
    pub const fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Sets how long to wait while another process writes the file, before the call fails with
    /// [`StoreError::Unavailable`]. 5 seconds unless set; at most a day.
    pub const fn busy_timeout(mut self, timeout: Duration) -> Self {
        // SQLite counts the milliseconds in 32 bits.
        const DAY: Duration = Duration::from_secs(24 * 3600);
        self.busy_timeout = if timeout.as_secs() < DAY.as_secs() { timeout } else { DAY };
        self
    }

    /// Sets the number of places in the write queue. An operation takes one place, plus one for each 64 KiB of its
    /// values; callers wait if no place is free. 0 counts as 1.
    ///
    /// # Default
    /// 1024.
    pub const fn queue(mut self, operations: usize) -> Self {
        self.queue = operations;
        self
    }

    /// Sets the number of pages after which the write-ahead log is copied into the file. A page has 1024 bytes unless
    /// the file was created with another size. 1000 unless set; a higher number copies a frequently changed page less
    /// often, but makes each commit slower until the log has grown to its size. 0 counts as 1, and more than 1 000 000
    /// counts as 1 000 000, so that the log never grows without limit.
    pub const fn checkpoint_pages(mut self, pages: u32) -> Self {
        self.checkpoint_pages = match pages {
            0 => 1,
            1..=1_000_000 => pages,
            _ => 1_000_000,
        };
        self
    }

    /// Sets the maximum size of the file in bytes. A write beyond the limit fails with [`StoreError::Full`]. Unless
    /// set, only the disk limits the size; a file that is already larger does not grow.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets the extent of the check when the file is opened. A damaged file fails with [`StoreError::Corrupt`].
    ///
    /// # Default
    /// [`SqliteCheck::Whole`].
    pub const fn check(mut self, check: SqliteCheck) -> Self {
        self.check = check;
        self
    }

    /// Opens the file, creates it if it does not exist, and brings its tables up to date.
    ///
    /// # Errors
    /// Returns the errors of [`SqliteStore::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteStore::start(self, path.as_ref()).await
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

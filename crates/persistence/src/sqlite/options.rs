use std::path::Path;
use std::time::Duration;

use awaitly_core::store::StoreError;

use super::SqliteStore;

/// What a commit waits for, in SQLite's own words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Synchronous {
    /// An acknowledged write survives a crash of the program, of the system, and a loss of power:
    /// `synchronous=FULL`, and on macOS `fullfsync`.
    #[default]
    Full,
    /// An acknowledged write survives a crash of the program. A crash of the system or a loss of
    /// power may undo the newest ones, never only some out of the middle: `synchronous=NORMAL`.
    Normal,
}

/// How much of a file is checked when it is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SqliteCheck {
    /// Every page, every index, and the checksum of every row. The store reads the file twice, which takes a few seconds
    /// for each gigabyte.
    #[default]
    Whole,
    /// The definitions of the tables. The store still checks each row that it reads, but it does not notice a row that a
    /// damaged page, index or key hides. For large files that are checked at another time, and to save what is left of a
    /// damaged file.
    Tables,
}

/// How a [`SqliteStore`] works.
///
/// # Default
/// Full durability, 5 seconds for a busy database, 1024 places in the write queue, no limit of size, and a check of
/// the whole file when it is opened.
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
    /// The defaults.
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

    /// Sets what a commit waits for. [`Synchronous::Full`] unless set.
    pub const fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Sets how long to wait for another process that writes the file, before the answer is
    /// [`StoreError::Unavailable`]. 5 seconds unless set; more than a day counts as a day.
    pub const fn busy_timeout(mut self, timeout: Duration) -> Self {
        // SQLite counts the milliseconds in 32 bits.
        const DAY: Duration = Duration::from_secs(24 * 3600);
        self.busy_timeout = if timeout.as_secs() < DAY.as_secs() { timeout } else { DAY };
        self
    }

    /// Places in the write queue. An operation takes one, plus one for each 64 KiB of its values; callers wait while
    /// none is free. 0 counts as 1.
    ///
    /// # Default
    /// 1024.
    pub const fn queue(mut self, operations: usize) -> Self {
        self.queue = operations;
        self
    }

    /// Sets after how many pages, of 1024 bytes each unless the file was made with others, the
    /// write-ahead log is copied into the file. 1000 unless set; more copies a page that many commits
    /// changed less often, and until the log has grown to its size makes each commit slower. 0 counts as 1,
    /// and more than 1 000 000 as that, so that the log never grows without end.
    pub const fn checkpoint_pages(mut self, pages: u32) -> Self {
        self.checkpoint_pages = match pages {
            0 => 1,
            1..=1_000_000 => pages,
            _ => 1_000_000,
        };
        self
    }

    /// Sets how large the file may grow, in bytes. A write beyond that is [`StoreError::Full`].
    /// No limit but that of the disk unless set; a file that is larger already does not grow.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets how much of the file is checked when it is opened. A damaged file is [`StoreError::Corrupt`].
    ///
    /// # Default
    /// [`SqliteCheck::Whole`].
    pub const fn check(mut self, check: SqliteCheck) -> Self {
        self.check = check;
        self
    }

    /// Opens the file, makes it where there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteStore::start(self, path.as_ref()).await
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

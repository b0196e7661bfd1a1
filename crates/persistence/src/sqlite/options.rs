use std::path::Path;
use std::time::Duration;

use awaitly_core::store::StoreError;

use super::SqliteStore;

/// The setting of a connection that decides whether its commits wait for the disk, named after SQLite's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Synchronous {
    Full,
    Normal,
}

/// The options of a [`SqliteStore`].
///
/// # Default
/// Full durability, 5 seconds for a busy database, 1024 places in the write queue, a checkpoint after 1000 pages, no
/// size limit, and a check of the whole file when it is opened.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use awaitly_persistence::SqliteOptions;
///
/// # async fn open() -> Result<(), awaitly_core::store::StoreError> {
/// let options = SqliteOptions::new().synchronous_normal().busy_timeout(Duration::from_secs(1));
/// let store = options.open("journals.db").await?;
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
    /// Whether the whole file is checked when it is opened.
    pub(super) checks_whole_file: bool,
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
            checks_whole_file: true,
        }
    }

    /// Commits with `synchronous=NORMAL`, which is faster. An acknowledged write survives a crash of the program. A
    /// crash of the operating system or a loss of power may undo the newest writes; the remaining writes have no gaps.
    ///
    /// # Default
    /// `synchronous=FULL`, and `fullfsync` on macOS: an acknowledged write survives a crash of the program, a crash of
    /// the operating system and a loss of power.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::Store;
    /// use awaitly_persistence::SqliteOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("journals.db");
    /// let store = SqliteOptions::new().synchronous_normal().open(&path).await?;
    /// assert!(store.durability().starts_with("SQLite, synchronous=NORMAL"));
    /// # Ok(())
    /// # }
    /// ```
    pub const fn synchronous_normal(mut self) -> Self {
        self.synchronous = Synchronous::Normal;
        self
    }

    /// Sets how long a call waits while another process writes the file, before the call fails with
    /// [`StoreError::Unavailable`]. A timeout of more than a day counts as a day.
    ///
    /// # Default
    /// 5 seconds.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use awaitly_core::store::StoreError;
    /// use awaitly_persistence::SqliteOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("journals.db");
    /// # SqliteOptions::new().open(&path).await?.close().await?;
    /// let writer = rusqlite::Connection::open(&path)?;
    /// writer.execute_batch("BEGIN EXCLUSIVE")?;
    /// let busy = SqliteOptions::new().busy_timeout(Duration::from_millis(10)).open(&path).await;
    /// assert!(matches!(busy, Err(StoreError::Unavailable { .. })));
    /// # Ok(())
    /// # }
    /// ```
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

    /// Sets the number of pages in the write-ahead log after which SQLite copies the log into the file (a checkpoint).
    /// A page has 1024 bytes unless the file was created with another page size.
    ///
    /// With a higher number, SQLite copies a frequently changed page less often, but each commit is slower until the
    /// log has grown to this number of pages. 0 counts as 1, and more than 1 000 000 counts as 1 000 000, so that the
    /// log never grows without limit.
    ///
    /// # Default
    /// 1000.
    pub const fn checkpoint_pages(mut self, pages: u32) -> Self {
        self.checkpoint_pages = match pages {
            0 => 1,
            1..=1_000_000 => pages,
            _ => 1_000_000,
        };
        self
    }

    /// Sets the maximum size of the file in bytes. A write beyond the limit fails with [`StoreError::Full`]. A file
    /// that is already larger can be opened, but it does not grow.
    ///
    /// # Default
    /// No limit except the size of the disk.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::{Input, Open, Owner, RunId, Store, StoreError};
    /// use awaitly_persistence::SqliteOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("journals.db");
    /// let store = SqliteOptions::new().max_bytes(128 * 1024).open(&path).await?;
    /// let input = Input::of(&"x".repeat(256 * 1024))?;
    /// let refused = store.open(Open::new(RunId::new("order-42")?, "checkout", Owner::unique()).input(input)).await;
    /// assert!(matches!(refused, Err(StoreError::Full { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Checks only the definitions of the tables when the file is opened. The store still checks each row that it reads, but
    /// it does not notice a row that a damaged page, index or key hides. Use this for large files that are checked at another
    /// time, or to save the readable rest of a damaged file.
    ///
    /// # Default
    /// Checks every page, every index, and the checksum of every row. The store reads the file twice, which takes a few seconds
    /// per gigabyte. A damaged file fails with [`StoreError::Corrupt`].
    ///
    /// # Examples
    /// ```no_run
    /// use awaitly_core::store::{Operate, RunQuery};
    /// use awaitly_persistence::{MemoryStore, SqliteOptions, operate};
    ///
    /// # async fn save() -> Result<(), awaitly_core::store::StoreError> {
    /// let damaged = SqliteOptions::new().check_tables_only().open("damaged.db").await?;
    /// let saved = SqliteOptions::new().open("saved.db").await?;
    /// operate::copy(&damaged, &saved, RunQuery::new().workflow("checkout")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn check_tables_only(mut self) -> Self {
        self.checks_whole_file = false;
        self
    }

    /// Opens the file, creates it if it does not exist, and brings its tables up to date.
    ///
    /// # Errors
    /// Returns the errors of [`SqliteStore::open`].
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::StoreError;
    /// use awaitly_persistence::SqliteOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let refused = SqliteOptions::new().open("no/such/folder/journals.db").await;
    /// assert!(matches!(refused, Err(StoreError::NotThere { .. })));
    /// # }
    /// ```
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteStore::start(self, path.as_ref()).await
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

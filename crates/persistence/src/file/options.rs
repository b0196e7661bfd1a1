use std::path::Path;

use awaitly_core::store::StoreError;

use super::FileStore;

/// How a [`FileStore`] works.
///
/// # Default
/// 1024 places in the write queue.
///
/// # Examples
/// ```no_run
/// use awaitly_persistence::FileOptions;
///
/// # async fn open() -> Result<(), awaitly_core::store::StoreError> {
/// let store = FileOptions::new().queue(64).open("journals").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct FileOptions {
    pub(super) queue: usize,
}

impl FileOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { queue: 1024 }
    }

    /// Places in the write queue. An operation takes one, plus one for each 64 KiB of its values; callers wait while
    /// none is free. 0 counts as 1.
    ///
    /// # Default
    /// 1024.
    pub const fn queue(mut self, places: usize) -> Self {
        self.queue = places;
        self
    }

    /// Opens the folder, and makes it where there is none.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub async fn open(self, folder: impl AsRef<Path>) -> Result<FileStore, StoreError> {
        FileStore::start(self, folder.as_ref()).await
    }
}

impl Default for FileOptions {
    fn default() -> Self {
        Self::new()
    }
}

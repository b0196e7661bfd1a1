use std::path::Path;

use awaitly_core::store::StoreError;

use super::FileStore;

/// How a [`FileStore`] works.
///
/// # Default
/// 1024 places for what waits to be written.
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

    /// Sets how many places the queue of the writer has, before further operations wait to be queued. An
    /// operation takes one, and one more for each 64 KiB of its values. 1024 unless set; 0 counts as 1.
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

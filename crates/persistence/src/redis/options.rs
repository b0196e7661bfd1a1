use std::sync::Arc;
use std::time::Duration;

use awaitly_core::store::StoreError;

use super::RedisStore;

/// How a [`RedisStore`] works.
///
/// # Default
/// Keys that begin with `awaitly:`, 1024 places in the write queue, 30 seconds of patience.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use awaitly_persistence::RedisOptions;
///
/// # async fn connect() -> Result<(), awaitly_core::store::StoreError> {
/// let store = RedisOptions::new()
///     .prefix("shop:awaitly")
///     .patience(Duration::from_secs(5))
///     .connect("redis://127.0.0.1:6379")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct RedisOptions {
    pub(super) prefix: Arc<str>,
    pub(super) queue: usize,
    pub(super) patience: Duration,
}

impl RedisOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { prefix: "awaitly".into(), queue: 1024, patience: Duration::from_secs(30) }
    }

    /// Sets what the names of all keys begin with, before a `:`. `awaitly` unless set. Stores with different
    /// prefixes share nothing. Any text without a `/`.
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Places in the write queue. An operation takes one, plus one for each 64 KiB of its values; callers wait while
    /// none is free. 0 counts as 1.
    ///
    /// # Default
    /// 1024.
    pub const fn queue(mut self, writes: usize) -> Self {
        self.queue = writes;
        self
    }

    /// Sets for how long to try again where the server is away or busy, before the answer is
    /// [`StoreError::Unavailable`]. 30 seconds unless set, counted from when a write leaves the queue; more than a
    /// day counts as a day. A third of it is the longest that one answer may take, a tenth of a second at least.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(Duration::from_secs(24 * 3600));
        self
    }

    /// Connects to the server at that address.
    ///
    /// # Errors
    /// As [`RedisStore::connect`], and [`StoreError::NotThere`] where the prefix has a `/`.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<RedisStore, StoreError> {
        RedisStore::start(self, url.as_ref()).await
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::new()
    }
}

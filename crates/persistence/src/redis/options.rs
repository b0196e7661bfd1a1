use std::sync::Arc;
use std::time::Duration;

use awaitly_core::store::StoreError;

use super::RedisStore;

/// The options of a [`RedisStore`].
///
/// # Default
/// Keys with the prefix `awaitly:`, 1024 places in the write queue, and 30 seconds of patience.
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
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self { prefix: "awaitly".into(), queue: 1024, patience: Duration::from_secs(30) }
    }

    /// Sets the prefix of all keys, before a `:`. `awaitly` unless set. The prefix is any text without a `/`. Stores
    /// with different prefixes share no data.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::StoreError;
    /// use awaitly_persistence::RedisOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let refused = RedisOptions::new().prefix("shop/awaitly").connect("redis://127.0.0.1:6379").await;
    /// assert!(matches!(refused, Err(StoreError::NotThere { .. })), "a prefix contains no slash");
    /// # }
    /// ```
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the number of places in the write queue. An operation takes one place, plus one for each 64 KiB of its
    /// values; callers wait if no place is free. 0 counts as 1.
    ///
    /// # Default
    /// 1024.
    pub const fn queue(mut self, writes: usize) -> Self {
        self.queue = writes;
        self
    }

    /// Sets how long to try again if the server is away or busy, before a call fails with [`StoreError::Unavailable`].
    /// 30 seconds unless set, from the moment at which a write leaves the queue; at most a day. One answer may take at
    /// most a third of the patience, but at least a tenth of a second.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    /// use awaitly_persistence::RedisOptions;
    ///
    /// # async fn connect() -> Result<(), awaitly_core::store::StoreError> {
    /// let options = RedisOptions::new().patience(Duration::from_secs(3));
    /// let store = options.connect("redis://127.0.0.1:6379").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(Duration::from_secs(24 * 3600));
        self
    }

    /// Connects to the server at that address.
    ///
    /// # Errors
    /// Returns the errors of [`RedisStore::connect`], and [`StoreError::NotThere`] if the prefix contains a `/`.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<RedisStore, StoreError> {
        RedisStore::start(self, url.as_ref()).await
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::new()
    }
}

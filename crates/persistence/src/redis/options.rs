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

    /// Sets the prefix of all keys, without the `:` that follows it. The prefix may be any text without a `/`. Stores
    /// with different prefixes share no data.
    ///
    /// # Default
    /// `awaitly`.
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

    /// Sets how long a call keeps trying if the server is away or busy, before the call fails with
    /// [`StoreError::Unavailable`]. For a write, the time begins when the write leaves the queue. A patience of more
    /// than a day counts as a day.
    ///
    /// The store waits for one answer for a third of the patience, but at least for a tenth of a second.
    ///
    /// # Default
    /// 30 seconds.
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

    /// Connects to the server at the address `url`.
    ///
    /// # Errors
    /// Returns the errors of [`RedisStore::connect`], and [`StoreError::NotThere`] if the prefix contains a `/`.
    ///
    /// # Panics
    /// Panics if it is called outside of a tokio runtime.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<RedisStore, StoreError> {
        RedisStore::start(self, url.as_ref()).await
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::new()
    }
}

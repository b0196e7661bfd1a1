use std::time::Duration;

use awaitly_core::store::StoreError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::PostgresStore;
use super::error::store_error;
use super::pool::{Owner, Pool};

/// The options of a [`PostgresStore`].
///
/// # Default
/// The schema `awaitly`, 1024 places in each write queue, 30 seconds of patience, and 8 connections if the store makes
/// its own pool.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use awaitly_persistence::PostgresOptions;
///
/// # async fn open(pool: sqlx::PgPool) -> Result<(), awaitly_core::store::StoreError> {
/// let store = PostgresOptions::new().schema("orders").patience(Duration::from_secs(5)).open(pool).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PostgresOptions {
    pub(super) schema: Box<str>,
    pub(super) queue: usize,
    pub(super) patience: Duration,
    pub(super) connections: u32,
}

impl PostgresOptions {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self { schema: "awaitly".into(), queue: 1024, patience: Duration::from_secs(30), connections: 8 }
    }

    /// Sets the schema for the tables, which should contain no other objects. The store creates it if it does not
    /// exist. The name must begin with a lowercase letter or `_`, and consist of at most 48 lowercase letters, digits
    /// and `_`; with any other name, opening the store fails with [`StoreError::NotThere`].
    ///
    /// # Default
    /// `awaitly`.
    pub fn schema(mut self, name: impl Into<Box<str>>) -> Self {
        self.schema = name.into();
        self
    }

    /// Sets the number of places in each write queue. An operation takes one place, plus one for each 64 KiB of its
    /// values; callers wait if no place is free. 0 counts as 1. One queue is for records, one for beginnings, endings and
    /// leases of runs, one for claims, and one for submissions.
    ///
    /// # Default
    /// 1024.
    pub const fn queue(mut self, operations: usize) -> Self {
        self.queue = operations;
        self
    }

    /// Sets how long a call keeps trying if the server cannot be reached or restarts, before it fails with
    /// [`StoreError::Unavailable`]. The time counts from the call and includes the wait in a queue; at most a day.
    ///
    /// One attempt takes at most a third of the patience, but at least a second, so that a silent connection leaves
    /// time for another one. To load a journal, migrate, list or delete, an attempt may take the whole patience, and at
    /// least 30 seconds. If a third of the patience passes without an answer, the store also loads or lists over a
    /// second connection, and takes the first answer.
    ///
    /// The store does not wait for a server that cannot succeed: a database that is set to read-only fails with
    /// [`StoreError::ReadOnly`] at once. A write that reaches a standby is tried again, because another server may be
    /// taking over.
    ///
    /// # Default
    /// 30 seconds.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    /// use awaitly_persistence::PostgresOptions;
    ///
    /// # async fn open() -> Result<(), awaitly_core::store::StoreError> {
    /// // A service that would rather fail a request than keep its client waiting.
    /// let options = PostgresOptions::new().patience(Duration::from_secs(3));
    /// let store = options.connect("postgres://app@localhost/orders").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn patience(mut self, patience: Duration) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        self.patience = if patience.as_secs() < DAY.as_secs() { patience } else { DAY };
        self
    }

    /// Sets the maximum number of connections in the store's own pool, which [`connect`](Self::connect) creates. The
    /// connections for writes are not part of the pool. 0 counts as 1.
    ///
    /// # Default
    /// 8.
    pub const fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Opens a store on the application's pool, and brings its tables up to date.
    ///
    /// # Errors
    /// Returns the errors of [`PostgresStore::open`], and [`StoreError::NotThere`] if the name of the schema is
    /// invalid.
    ///
    /// # Panics
    /// Panics if it is called outside of a tokio runtime.
    ///
    /// # Examples
    /// ```no_run
    /// use awaitly_persistence::PostgresOptions;
    /// use sqlx::postgres::PgPoolOptions;
    ///
    /// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPoolOptions::new().max_connections(20).connect("postgres://app@localhost/orders").await?;
    /// let store = PostgresOptions::new().schema("orders_journals").open(pool.clone()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(self, pool: PgPool) -> Result<PostgresStore, StoreError> {
        let pool = Pool::new(pool, Owner::Application, self.patience);
        PostgresStore::start(self, pool).await
    }

    /// Opens a store with a pool of its own, and brings its tables up to date.
    ///
    /// # Errors
    /// Returns the errors of [`PostgresStore::open`], and [`StoreError::NotThere`] if the URL or the name of the schema
    /// is invalid.
    ///
    /// # Panics
    /// Panics if it is called outside of a tokio runtime.
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        let options: PgConnectOptions = url.parse().map_err(|error| store_error(&error))?;
        let options = options.application_name("awaitly");
        let pool = PgPoolOptions::new()
            .max_connections(self.connections.max(1))
            .acquire_timeout(self.patience.max(Duration::from_secs(1)))
            .connect_lazy_with(options);
        let pool = Pool::new(pool, Owner::Store, self.patience);
        PostgresStore::start(self, pool).await
    }
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::new()
    }
}

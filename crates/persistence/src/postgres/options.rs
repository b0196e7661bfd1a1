use std::time::Duration;

use awaitly_core::store::StoreError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::PostgresStore;
use super::error::store_error;
use super::pool::{Owner, Pool};

/// How a [`PostgresStore`] works.
///
/// # Default
/// The schema `awaitly`, 1024 places in each write queue, 30 seconds of patience, 8 connections where it makes a pool
/// of its own.
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
    /// The defaults.
    pub fn new() -> Self {
        Self { schema: "awaitly".into(), queue: 1024, patience: Duration::from_secs(30), connections: 8 }
    }

    /// Sets the schema that holds the tables, and nothing else: it is made where it is not there. Its name begins
    /// with a small letter or `_` and has small letters, digits and `_` only, 48 at most.
    pub fn schema(mut self, name: impl Into<Box<str>>) -> Self {
        self.schema = name.into();
        self
    }

    /// Places in the write queue. An operation takes one, plus one for each 64 KiB of its values; callers wait while
    /// none is free. 0 counts as 1.
    /// There are two such queues, one for records, and one for beginnings, endings and leases of runs.
    ///
    /// # Default
    /// 1024.
    pub const fn queue(mut self, operations: usize) -> Self {
        self.queue = operations;
        self
    }

    /// Sets for how long to try again when the server cannot be reached or restarts, before the answer is
    /// [`StoreError::Unavailable`]. The time counts from the call, and includes the wait in a queue; more than a day
    /// counts as a day.
    ///
    /// A third of it, and a second at least, is the longest that one try takes, so that a connection that has gone silent
    /// leaves time for another one. Loading a journal, a migration, a list or a deletion may take all of it, and 30
    /// seconds in any case. After a third of the patience without an answer, the store loads or lists on a second
    /// connection too, and takes the first answer.
    ///
    /// The store does not wait for a server that cannot succeed: a database that is set to be read-only is
    /// [`StoreError::ReadOnly`] at once. A write that reaches a standby is tried again, since another server may be taking
    /// over.
    ///
    /// # Default
    /// 30 seconds.
    pub const fn patience(mut self, patience: Duration) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        self.patience = if patience.as_secs() < DAY.as_secs() { patience } else { DAY };
        self
    }

    /// Sets how many connections the pool of a store has that is opened with a URL, beside the two that it
    /// writes with. 8 unless set; 0 counts as 1.
    pub const fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Opens a store on a pool that the application has, and brings its tables up to date.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open(self, pool: PgPool) -> Result<PostgresStore, StoreError> {
        let pool = Pool::new(pool, Owner::Application, self.patience);
        PostgresStore::start(self, pool).await
    }

    /// Opens a store with a pool of its own, and brings its tables up to date.
    ///
    /// # Errors
    /// As [`PostgresStore::open`]; [`StoreError::NotThere`] where the URL is invalid.
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

//! The PostgreSQL server, and the database that each repetition has on it.

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use sqlx::{Connection, Executor, PgConnection, Row};
use url::Url;

/// The environment variable that names the server.
const VARIABLE: &str = "AWAITLY_POSTGRES_URL";

/// A server on which this process may make and drop one database at a time.
#[derive(Clone)]
pub struct Server {
    url: Url,
    /// The database of the repetition under way. No other process has this name.
    database: String,
    /// Held while it is made.
    making: Arc<Mutex<()>>,
}

/// A database that is dropped with this value, whatever is still connected.
pub struct Database<'a> {
    server: &'a Server,
    url: Url,
}

impl Server {
    pub fn from_environment() -> Result<Self> {
        let url = env::var(VARIABLE).with_context(|| {
            format!(
                "{VARIABLE} has to name a PostgreSQL server on which databases can be made, \
                 as in postgres://user@localhost:5432/postgres; to measure without one, \
                 name `sqlite` alone"
            )
        })?;
        let random = RandomState::new().hash_one(std::process::id());
        Ok(Self {
            url: Url::parse(&url).with_context(|| format!("{VARIABLE} is not a URL"))?,
            database: format!("awaitly_peers_{random:016x}"),
            making: Arc::default(),
        })
    }

    /// Version and durability, for the head of the table.
    pub fn description(&self) -> Result<String> {
        const QUESTION: &str = "SELECT current_setting('server_version'), \
             current_setting('synchronous_commit'), current_setting('fsync')";
        on_own_runtime(async {
            let mut connection = self.connect().await?;
            let row = connection.fetch_one(QUESTION).await?;
            let (version, commit, fsync): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            connection.close().await?;
            Ok(format!(
                "PostgreSQL {version}, synchronous_commit={commit}, fsync={fsync}"
            ))
        })
    }

    pub fn new_database(&self) -> Result<Database<'_>> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.execute(&format!("CREATE DATABASE {}", self.database))
            .context("making a database")?;
        let mut url = self.url.clone();
        url.set_path(&self.database);
        Ok(Database { server: self, url })
    }

    /// Drops the database of the repetition under way, and lets nobody make
    /// another one: for the end of the process.
    pub fn drop_for_good(&self) {
        let making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_database();
        std::mem::forget(making);
    }

    fn drop_database(&self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database);
        if let Err(error) = self.execute(&drop) {
            eprintln!("peers: the database {} is left: {error:#}", self.database);
        }
    }

    fn execute(&self, statement: &str) -> Result<()> {
        on_own_runtime(async {
            let mut connection = self.connect().await?;
            connection.execute(statement).await?;
            connection.close().await?;
            Ok(())
        })
    }

    async fn connect(&self) -> Result<PgConnection> {
        PgConnection::connect(self.url.as_str())
            .await
            .with_context(|| format!("connecting to the server that {VARIABLE} names"))
    }
}

impl Database<'_> {
    pub fn url(&self) -> &str {
        self.url.as_str()
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        self.server.drop_database();
    }
}

/// A runtime for a few statements, gone before a rival gets its own.
fn on_own_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the tokio runtime")?
        .block_on(work)
}

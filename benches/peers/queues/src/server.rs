//! The PostgreSQL server, and the database that each repetition has on it.

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use url::{Host, Url};

/// The environment variable that names the server.
const VARIABLE: &str = "AWAITLY_POSTGRES_URL";

/// A server on which this process makes and drops one database at a time.
#[derive(Clone)]
pub struct Server {
    url: Url,
    /// The database of the current repetition. No other process uses this name.
    database: String,
    /// Held while the database is made or dropped for good.
    making: Arc<Mutex<()>>,
}

/// A database that is dropped with this value, even if clients are still connected.
pub struct Database<'a> {
    server: &'a Server,
    url: Url,
}

impl Server {
    /// Reads the server's address, which must be a loopback address: over a network, the rows would measure it.
    pub fn from_environment() -> Result<Self> {
        let url = env::var(VARIABLE).with_context(|| {
            format!(
                "{VARIABLE} must name a PostgreSQL server on which databases can be made, for example \
                 postgres://user@127.0.0.1:5432/postgres"
            )
        })?;
        let url = Url::parse(&url).with_context(|| format!("{VARIABLE} is not a URL"))?;
        ensure!(is_loopback(&url), "{VARIABLE} must name a server on this machine");
        let random = RandomState::new().hash_one(std::process::id());
        Ok(Self { url, database: format!("awaitly_queues_{random:016x}"), making: Arc::default() })
    }

    /// Returns the version and the durability, for the head of the table.
    pub fn description(&self) -> Result<String> {
        const QUESTION: &str = "SELECT current_setting('server_version'), \
             current_setting('synchronous_commit'), current_setting('fsync')";
        on_own_runtime(async {
            let mut connection = self.connect().await?;
            let row = connection.fetch_one(QUESTION).await?;
            let (version, commit, fsync): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            connection.close().await?;
            Ok(format!("PostgreSQL {version}, synchronous_commit={commit}, fsync={fsync}"))
        })
    }

    pub fn new_database(&self) -> Result<Database<'_>> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.execute(format!("CREATE DATABASE {}", self.database)).context("making a database")?;
        let mut url = self.url.clone();
        url.set_path(&self.database);
        Ok(Database { server: self, url })
    }

    /// Drops the database of the current repetition, and blocks the next one: for the end of the process.
    pub fn drop_for_good(&self) {
        let making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_database();
        std::mem::forget(making);
    }

    fn drop_database(&self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database);
        if let Err(error) = self.execute(drop) {
            eprintln!("queues: the database {} is left: {error:#}", self.database);
        }
    }

    fn execute(&self, statement: String) -> Result<()> {
        on_own_runtime(async {
            let mut connection = self.connect().await?;
            connection.execute(AssertSqlSafe(statement)).await?;
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

// The scheme `postgres` is not special to the URL standard, so an IPv4 address arrives as a domain.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        None => true,
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    }
}

/// Runs a few statements on a runtime that ends before a rival gets its own.
fn on_own_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the tokio runtime")?
        .block_on(work)
}

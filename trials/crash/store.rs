use std::path::Path;

use anyhow::{Context, Result};
use awaitly::persistence::{PostgresOptions, RedisOptions, SqliteStore};
use awaitly::store::AnyStore;
use clap::ValueEnum;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Where the journals rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Postgres,
    Redis,
    Sqlite,
}

/// The store of a test, which all of its processes open: in its folder, or under a name made from it.
pub(crate) struct Place<'a> {
    pub(crate) kind: Kind,
    pub(crate) folder: &'a Path,
}

impl Place<'_> {
    pub(crate) async fn open(&self) -> Result<AnyStore> {
        Ok(match self.kind {
            Kind::Sqlite => AnyStore::new(SqliteStore::open(self.folder.join("crash.db")).await?),
            Kind::Postgres => {
                AnyStore::new(PostgresOptions::new().schema(self.name()).connect(&url("POSTGRES")?).await?)
            }
            Kind::Redis => {
                AnyStore::new(RedisOptions::new().prefix(self.name()).connect(&url("REDIS")?).await?)
            }
        })
    }

    /// Takes away what the folder does not hold.
    pub(crate) async fn clear(&self) -> Result<()> {
        match self.kind {
            Kind::Sqlite => {}
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&url("POSTGRES")?).await?;
                let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name());
                connection.execute(AssertSqlSafe(drop)).await?;
            }
            Kind::Redis => {
                let mut connection = redis::Client::open(url("REDIS")?)?.get_connection()?;
                let pattern = format!("{}:*", self.name());
                let keys: Vec<Vec<u8>> =
                    redis::Commands::scan_match(&mut connection, pattern)?.collect::<Result<_, _>>()?;
                if !keys.is_empty() {
                    redis::Commands::del::<_, ()>(&mut connection, keys)?;
                }
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        let folder = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let letters =
            folder.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase());
        format!("awaitly_crash_{}", letters.collect::<String>())
    }
}

fn url(server: &str) -> Result<String> {
    let variable = format!("AWAITLY_{server}_URL");
    std::env::var(&variable)
        .with_context(|| format!("name a server in {variable}, or call `cargo xtask crash`"))
}

use std::path::Path;

use anyhow::Result;
use awaitly::persistence::{PostgresOptions, RedisOptions, SqliteStore};
use awaitly::store::AnyStore;
use awaitly_trials::servers::{self, url};
use clap::ValueEnum;

/// The kind of store that holds the journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Postgres,
    Redis,
    Sqlite,
}

/// The store of a test, which all of its processes open: in its folder, or under a name made from the folder.
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

    /// Removes the data that is not in the folder.
    pub(crate) async fn clear(&self) -> Result<()> {
        match self.kind {
            Kind::Sqlite => Ok(()),
            Kind::Postgres => servers::drop_schema(&self.name()).await,
            Kind::Redis => servers::drop_keys(&self.name()),
        }
    }

    pub(crate) fn name(&self) -> String {
        servers::name(self.folder)
    }
}

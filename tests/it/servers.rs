//! Schemas and prefixes on the servers for tests.

use awaitly::persistence::{PostgresOptions, PostgresStore, RedisOptions, RedisStore};
use awaitly::store::Owner;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// A unique name, which is a schema in PostgreSQL and a prefix in Redis.
pub(crate) struct Servers {
    pub(crate) name: String,
}

impl Servers {
    pub(crate) fn new() -> Self {
        Self { name: format!("awaitly_test_{}", Owner::unique().as_str().replace('-', "_")) }
    }

    pub(crate) async fn postgres(&self) -> PostgresStore {
        let options = PostgresOptions::new().schema(self.name.as_str()).connections(3);
        options.connect(&url("POSTGRES")).await.unwrap()
    }

    pub(crate) async fn redis(&self) -> RedisStore {
        RedisOptions::new().prefix(self.name.as_str()).connect(url("REDIS")).await.unwrap()
    }

    /// Opens a connection that bypasses the store.
    pub(crate) async fn connection() -> PgConnection {
        PgConnection::connect(&url("POSTGRES")).await.unwrap()
    }

    /// Removes the schema and the keys. A test that fails leaves both for inspection.
    pub(crate) async fn clear(self) {
        let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name));
        Self::connection().await.execute(drop).await.unwrap();
        let mut redis = redis::Client::open(url("REDIS")).unwrap().get_connection().unwrap();
        let keys = redis::Commands::scan_match(&mut redis, format!("{}:*", self.name)).unwrap();
        for key in keys.collect::<Result<Vec<Vec<u8>>, _>>().unwrap() {
            redis::Commands::del::<_, ()>(&mut redis, key).unwrap();
        }
    }
}

fn url(server: &str) -> String {
    let variable = format!("AWAITLY_{server}_URL");
    std::env::var(&variable).unwrap_or_else(|_| {
        panic!("the variable {variable} is not set: name a server in it, or run `cargo xtask test`, which finds one")
    })
}

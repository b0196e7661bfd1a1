use anyhow::Result;
use awaitly::persistence::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// A schema of its own on a server, with the tables of a store and one of the application's.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Schema {
    /// A new one, for as long as `act` takes.
    pub(crate) async fn lend<T>(url: &str, act: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let schema = Self { url: url.to_owned(), name: format!("awaitly_chaos_{:016x}", fastrand::u64(..)) };
        schema.store().await?.close().await?;
        // No key is unique, so that what is written twice is there twice.
        schema.execute("CREATE TABLE {s}.debits (key text NOT NULL, nonce bigint NOT NULL)").await?;
        let result = act(&schema).await;
        let dropped = schema.execute("DROP SCHEMA {s} CASCADE").await;
        let value = result?;
        dropped?;
        Ok(value)
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::new().schema(self.name.as_str())
    }

    /// A store with connections of its own, straight to the server.
    pub(crate) async fn store(&self) -> Result<PostgresStore> {
        Ok(self.options().connect(&self.url).await?)
    }

    pub(crate) async fn connection(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        let mut connection = self.connection().await?;
        connection.execute(self.sql(sql)).await?;
        Ok(connection.close().await?)
    }

    /// A statement with the schema in the place of `{s}`.
    pub(crate) fn sql(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("{s}", &self.name))
    }
}

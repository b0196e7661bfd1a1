use anyhow::{Context, Result};
use awaitly::persistence::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// The server to measure on.
pub(crate) fn url() -> Result<String> {
    std::env::var("AWAITLY_POSTGRES_URL").context(
        "to measure on PostgreSQL, name a server in AWAITLY_POSTGRES_URL, or call `cargo xtask bench`",
    )
}

/// A schema of its own on the server.
pub(crate) struct Schema {
    url: String,
    pub(crate) name: String,
}

impl Schema {
    pub(crate) async fn make(url: &str) -> Result<Self> {
        let name = format!("awaitly_bench_{:016x}", fastrand::u64(..));
        let schema = Self { url: url.to_owned(), name };
        schema.store().await?.close().await?;
        Ok(schema)
    }

    pub(crate) async fn store(&self) -> Result<PostgresStore> {
        Ok(PostgresOptions::new().schema(self.name.as_str()).connect(&self.url).await?)
    }

    pub(crate) async fn connection(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// A statement with the schema in the place of `{s}`.
    pub(crate) fn sql(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("{s}", &self.name))
    }

    /// The run `run` with that many recorded steps.
    pub(crate) async fn fill(&self, recorded: u64) -> Result<()> {
        let mut connection = self.connection().await?;
        let run = "INSERT INTO {s}.runs (run_id, workflow, version, status, token, lease_until, created_at, changed_at) \
                   VALUES ('run', 'bench', 1, 'running', 1, 0, 1, 1)";
        connection.execute(self.sql(run)).await?;
        let steps = "INSERT INTO {s}.steps (run, token, recorded_at, kind, key, payload) \
                     SELECT r.id, 1, 1, 0, CASE n WHEN 1 THEN 'call' ELSE 'call#' || n END, (n - 1)::text \
                     FROM {s}.runs r, generate_series(1, $1::bigint) n ORDER BY n";
        sqlx::query(self.sql(steps)).bind(recorded as i64).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    pub(crate) async fn drop(self) -> Result<()> {
        let mut connection = self.connection().await?;
        connection.execute(self.sql("DROP SCHEMA {s} CASCADE")).await?;
        Ok(connection.close().await?)
    }
}

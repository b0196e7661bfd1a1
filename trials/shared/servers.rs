//! The servers that the environment names, and the schemas and keys of one test on them.

use std::path::Path;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Returns the URL in `AWAITLY_POSTGRES_URL` or `AWAITLY_REDIS_URL`; `server` is `POSTGRES` or `REDIS`.
///
/// # Errors
/// Returns an error if the variable is missing.
pub fn url(server: &str) -> Result<String> {
    let variable = format!("AWAITLY_{server}_URL");
    std::env::var(&variable)
        .with_context(|| format!("name a server in {variable}, or start the program with `cargo xtask`"))
}

/// Returns a name for a schema or prefix, made from the name of a temporary folder.
#[must_use]
pub fn name(folder: &Path) -> String {
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    let letters = folder.chars().filter(char::is_ascii_alphanumeric);
    format!("awaitly_trial_{}", letters.map(|letter| letter.to_ascii_lowercase()).collect::<String>())
}

/// Removes the schema from PostgreSQL.
///
/// # Errors
/// Returns the error of the server.
pub async fn drop_schema(name: &str) -> Result<()> {
    let mut connection = PgConnection::connect(&url("POSTGRES")?).await?;
    connection.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {name} CASCADE"))).await?;
    Ok(())
}

/// Removes the keys with this prefix from Redis.
///
/// # Errors
/// Returns the error of the server.
pub fn drop_keys(prefix: &str) -> Result<()> {
    let mut connection = redis::Client::open(url("REDIS")?)?.get_connection()?;
    let keys = redis::Commands::scan_match(&mut connection, format!("{prefix}:*"))?;
    let keys: Vec<Vec<u8>> = keys.collect::<Result<_, _>>()?;
    if !keys.is_empty() {
        redis::Commands::del::<_, ()>(&mut connection, keys)?;
    }
    Ok(())
}

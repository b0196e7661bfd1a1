//! Durable steps on Redis, as the server is set, beside a bare `HSET` for each of them on one connection that all runs
//! share.

use std::time::Instant;

use anyhow::{Context, Result};
use awaitly::persistence::RedisOptions;
use awaitly::store::Store;
use redis::aio::MultiplexedConnection;

use crate::beside;
use crate::durable::Ours;
use crate::measure::runtime;
use crate::row::Row;

pub(crate) fn measure() -> Result<Vec<Row>> {
    let url = url()?;
    runtime()?.block_on(async {
        let durability = RedisOptions::new().prefix(prefix()).connect(&url).await?.durability();
        // What is lost with that is no part of the name.
        let set = durability.split(':').next().unwrap_or(durability);
        let floor = async |runs, steps| floor(&url, runs, steps).await;
        let ours = async |runs, steps| ours(&url, runs, steps).await;
        beside::steps(&format!("Redis, {set}"), floor, ours).await
    })
}

/// The server to measure on.
pub(crate) fn url() -> Result<String> {
    std::env::var("AWAITLY_REDIS_URL")
        .context("to measure on Redis, name a server in AWAITLY_REDIS_URL, or call `cargo xtask bench`")
}

pub(crate) fn prefix() -> String {
    format!("awaitly_bench_{:016x}", fastrand::u64(..))
}

async fn ours(url: &str, runs: u64, steps: u64) -> Result<f64> {
    let prefix = prefix();
    let store = RedisOptions::new().prefix(prefix.as_str()).connect(url).await?;
    let rate = Ours::steps_per_second_on(store, runs, steps).await?;
    clear(url, &prefix)?;
    Ok(rate)
}

async fn floor(url: &str, runs: u64, steps: u64) -> Result<f64> {
    let prefix = prefix();
    let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let began = Instant::now();
    let tasks: Vec<_> = (0..runs)
        .map(|run| tokio::spawn(fill(connection.clone(), format!("{prefix}:{run}"), steps)))
        .collect();
    for task in tasks {
        task.await??;
    }
    let rate = (runs * steps) as f64 / began.elapsed().as_secs_f64();
    clear(url, &prefix)?;
    Ok(rate)
}

async fn fill(mut connection: MultiplexedConnection, run: String, steps: u64) -> Result<()> {
    for step in 0..steps {
        let mut set = redis::cmd("HSET");
        set.arg(&run).arg(format!("call#{step}")).arg(format!("{step} 0 - {step:016x} - {step}"));
        set.query_async::<()>(&mut connection).await?;
    }
    Ok(())
}

pub(crate) fn clear(url: &str, prefix: &str) -> Result<()> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let found = redis::Commands::scan_match(&mut connection, format!("{prefix}:*"))?;
    let keys: Vec<Vec<u8>> = found.collect::<Result<_, _>>()?;
    if !keys.is_empty() {
        redis::Commands::del::<_, ()>(&mut connection, keys)?;
    }
    Ok(())
}

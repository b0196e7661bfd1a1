//! Empty runs through the engine on SQLite and Redis.

use anyhow::Result;
use awaitly::persistence::{RedisOptions, SqliteStore};

use super::{Steps, runs_per_second};
use crate::measure::median;
use crate::redis;
use crate::row::Row;

const TURNS: usize = 3;
const RUNS: u64 = 100_000;

pub(super) async fn measure() -> Result<Vec<Row>> {
    let (mut sqlite, mut on_redis) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(folder.path().join("runs.db")).await?;
        sqlite.push(runs_per_second(store.clone(), 0..RUNS, Steps::None).await?);
        store.close().await?;

        let (url, prefix) = (redis::url()?, redis::prefix());
        let store = RedisOptions::new().prefix(prefix.as_str()).connect(&url).await?;
        on_redis.push(runs_per_second(store.clone(), 0..RUNS, Steps::None).await?);
        store.close().await?;
        redis::clear(&url, &prefix)?;
    }
    Ok(vec![
        Row::plain("empty runs/s, SQLite FULL", median(sqlite), "runs/s").at_least(30_000.0),
        Row::plain("empty runs/s, Redis", median(on_redis), "runs/s").at_least(30_000.0),
    ])
}

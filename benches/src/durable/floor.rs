use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use awaitly::persistence::SqliteStore;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

/// How many rows share a commit at most, and how many wait for it.
const BATCH: usize = 1024;

struct Row {
    run: u64,
    key: String,
    seq: u64,
    payload: String,
    committed: oneshot::Sender<()>,
}

/// The rows that `runs` tasks get committed, one after the other each.
pub(super) async fn steps_per_second(runs: u64, steps: u64) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("floor.db");
    // The same tables, made by the store itself.
    SqliteStore::open(&file).await?.close().await?;
    let connection = Connection::open(&file)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    let (rows, queue) = mpsc::channel(BATCH);
    let writer = std::thread::spawn(move || write(&connection, queue));

    let began = Instant::now();
    let tasks: Vec<_> = (0..runs).map(|run| tokio::spawn(send(rows.clone(), run, steps))).collect();
    for task in tasks {
        task.await??;
    }
    let elapsed = began.elapsed();
    drop(rows);
    writer.join().ok().context("the floor's writer panicked")??;
    Ok((runs * steps) as f64 / elapsed.as_secs_f64())
}

async fn send(rows: mpsc::Sender<Row>, run: u64, steps: u64) -> Result<()> {
    for seq in 0..steps {
        let (committed, done) = oneshot::channel();
        let row = Row { run, key: format!("call#{seq}"), seq, payload: seq.to_string(), committed };
        rows.send(row).await.ok().context("the floor's writer has ended")?;
        done.await?;
    }
    Ok(())
}

fn write(connection: &Connection, mut queue: mpsc::Receiver<Row>) -> rusqlite::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as i64;
        for row in &batch {
            connection
                .prepare_cached(
                    "INSERT INTO awaitly_steps (run, key, seq, kind, payload, input_fingerprint, recorded_at) \
                     VALUES (?1, ?2, ?3, 0, ?4, NULL, ?5)",
                )?
                .execute(params![row.run as i64, row.key, row.seq as i64, row.payload, now])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        for row in batch.drain(..) {
            let _ = row.committed.send(());
        }
    }
    Ok(())
}

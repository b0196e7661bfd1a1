//! How long a run with many recorded steps takes until its first new one.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Result, bail};
use awaitly::journal::{Outcome, Payload, Record};
use awaitly::persistence::SqliteStore;
use awaitly::store::{Durability, Open, Opened, Owner, RunId, Store};
use awaitly::{DurableRun, RunError, Workflow, step};
use futures_util::future::try_join_all;

use crate::measure::{block_on, median};
use crate::row::Row;

async fn call(n: u64) -> Result<u64, RunError> {
    Ok(n)
}

/// Replays `recorded` steps, and stops the time when the next one is called.
async fn body(run: &DurableRun, recorded: u64, first_new: &Cell<Option<Instant>>) -> Result<u64, RunError> {
    let mut sum = 0_u64;
    for n in 0..recorded {
        sum = sum.wrapping_add(step!(run, call(n)));
    }
    step!(run.volatile(), "first new", async {
        first_new.set(Some(Instant::now()));
        Ok::<_, RunError>(())
    });
    // The run stays interrupted, so that it can be resumed again.
    std::future::pending::<()>().await;
    Ok(sum)
}

pub(crate) fn measure() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (recorded, bar_ms, turns) in [(10_000, 20.0, 7), (1_000_000, 1500.0, 3)] {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("resume.db");
        prepare(&file, recorded)?;
        let before = resident_bytes();
        let mut peak = before;
        let mut times = Vec::new();
        for _ in 0..turns {
            let (elapsed, resident) = block_on(resume(&file, recorded))??;
            times.push(elapsed);
            peak = peak.max(resident);
        }
        rows.push(
            Row::plain(format!("resume of {recorded} recorded steps"), median(times), "ms").at_most(bar_ms),
        );
        let name = format!("memory of a resume of {recorded}");
        rows.push(Row::plain(name, (peak - before) / 1024.0 / 1024.0, "MiB"));
    }
    Ok(rows)
}

/// Fills the file as a run with that many steps would have, without waiting for the disk.
fn prepare(file: &std::path::Path, recorded: u64) -> Result<()> {
    /// How many records are on their way to the disk at a time.
    const AT_ONCE: u64 = 1000;
    block_on(async {
        let store = SqliteStore::open(file).await?;
        let opened = store.open(Open::new(RunId::new("run")?, "bench", Owner::unique())).await?;
        let Opened::Held { lease, .. } = opened else { bail!("the run of a new file is held") };
        for first in (0..recorded).step_by(AT_ONCE as usize) {
            let appends = (first..recorded.min(first + AT_ONCE)).map(async |n| {
                let key = if n == 0 { "call".into() } else { format!("call#{}", n + 1).into() };
                let outcome = Outcome::Value(Payload::encode(&n)?);
                store.append(&lease, Record { key, outcome, input: None }, Durability::Batched).await?;
                anyhow::Ok(())
            });
            try_join_all(appends).await?;
        }
        store.release(&lease);
        store.close().await?;
        anyhow::Ok(())
    })?
}

/// The time from the call of `run` to the first new step, in milliseconds, and the memory at that point.
async fn resume(file: &std::path::Path, recorded: u64) -> Result<(f64, f64)> {
    let store = SqliteStore::open(file).await?;
    let workflow = Workflow::new("bench").store(store.clone());
    let first_new = Cell::new(None);
    let began = Instant::now();
    {
        let run = std::pin::pin!(workflow.run("run", async |run| body(run, recorded, &first_new).await));
        let stop = async {
            while first_new.get().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            ended = run => { ended?; }
            () = stop => {}
        }
    }
    let resident = resident_bytes();
    drop(workflow);
    store.close().await?;
    let elapsed = first_new.get().map_or(f64::NAN, |at| at.duration_since(began).as_secs_f64() * 1e3);
    Ok((elapsed, resident))
}

/// The resident memory of this process, in bytes; 0 where the system does not say.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}

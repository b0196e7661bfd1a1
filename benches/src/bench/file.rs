//! Durable steps on files, beside what a program would write by hand: a file for each run, to which a line is appended
//! and brought to the disk for each step, by a thread for each of up to 32 runs.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use awaitly::persistence::FileStore;

use crate::beside;
use crate::durable::Ours;
use crate::measure::runtime;
use crate::row::Row;

pub(crate) fn measure() -> Result<Vec<Row>> {
    runtime()?.block_on(beside::steps("files", async |runs, steps| floor(runs, steps), ours))
}

async fn ours(runs: u64, steps: u64) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let store = FileStore::open(folder.path().join("runs")).await?;
    let rate = Ours::steps_per_second_on(store.clone(), runs, steps).await?;
    store.close().await?;
    Ok(rate)
}

fn floor(runs: u64, steps: u64) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let (threads, each) = (runs.min(32), runs * steps / runs.min(32));
    let began = Instant::now();
    let writers: Vec<_> = (0..threads)
        .map(|run| {
            let path = folder.path().join(format!("{run}.log"));
            std::thread::spawn(move || {
                let mut file = File::options().create(true).append(true).open(path)?;
                for step in 0..each {
                    let line = format!(
                        "{{\"appended\":{{\"key\":\"call#{step}\",\"outcome\":{{\"value\":{step}}}}}}}\n"
                    );
                    file.write_all(line.as_bytes())?;
                    file.sync_data()?;
                }
                std::io::Result::Ok(())
            })
        })
        .collect();
    for writer in writers {
        writer.join().ok().context("a writer of the floor panicked")??;
    }
    Ok((threads * each) as f64 / began.elapsed().as_secs_f64())
}

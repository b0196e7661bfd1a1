use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use awaitly::clock::{ms, secs};
use awaitly::engine::Worker;
use awaitly::{DurableRun, RunError};
use awaitly_trials::lines::Lines;
use tokio::signal::unix::{SignalKind, signal};

use super::{JOB, Line, POISON};
use crate::schema::Schema;

/// Executes runs until SIGTERM.
pub(crate) async fn work(schema: Schema, ledger: &Path) -> Result<()> {
    let store = schema.store().await?;
    let ledger = Arc::new(Lines::open(ledger)?);
    let body = move |run: DurableRun, millis: u64| {
        let ledger = Arc::clone(&ledger);
        async move { execute(&ledger, run.id(), millis).await }
    };
    // Short leases, because the server cannot detect the death of an owner before the lease expires.
    let worker = Worker::new(store.clone())
        .serve_with(JOB, |workflow| workflow.lease(secs(1)), body)
        .concurrency(128)
        .grace(secs(20));
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async {
        let _ = terminate.recv().await;
    };
    worker.run_until(stop).await?;
    Ok(store.close().await?)
}

async fn execute(ledger: &Lines, run: &str, millis: u64) -> Result<(), RunError> {
    let write =
        |line| ledger.add(&line).unwrap_or_else(|error| panic!("the ledger cannot be written: {error}"));
    write(Line::Begun { run: run.to_owned(), at: now() });
    if millis == POISON {
        std::process::abort();
    }
    tokio::time::sleep(ms(millis)).await;
    write(Line::Ended { run: run.to_owned(), at: now() });
    Ok(())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

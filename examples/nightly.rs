//! Schedules: a worker starts their runs, so they need no process of their own.
//!
//! `cargo run --example nightly` defines a nightly report and a report for each second. It executes the nightly report
//! on request, and three other reports.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly::clock::secs;
use awaitly::engine::{Client, Contract, Overlap, RunExt, Schedule, Worker};
use awaitly::persistence::SqliteStore;
use awaitly::{DurableRun, RunError, step};
use tokio::sync::Notify;

const REPORT: Contract<String, u32, RunError> = Contract::new("report");

async fn count_sales(shop: &str) -> Result<u32, RunError> {
    Ok(shop.len() as u32)
}

async fn report(run: DurableRun, shop: String) -> Result<u32, RunError> {
    let sales = step!(run, count_sales(&shop));
    let scheduled = run.scheduled_for().map_or("on request", |_| "as scheduled");
    println!("{shop}: {sales} sales, {scheduled}");
    Ok(sales)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("reports.db")).await?;
    let client = Client::new(store.clone());

    let nightly = Schedule::cron("0 3 * * *").zone("Europe/Vienna").overlap(Overlap::Skip);
    let nightly = client.schedule("nightly", nightly, REPORT, &"Vienna".to_owned()).await?;
    println!("{} is scheduled, {} times ahead are known", nightly.name(), nightly.info().await?.next.len());
    let often = client.schedule("often", Schedule::every(secs(1)), REPORT, &"Graz".to_owned()).await?;
    nightly.trigger().await?;

    // Stops after the report on request and three others.
    let (reports, done) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let finished = Arc::clone(&done);
    let worker = Worker::new(store.clone()).serve(REPORT, move |run, shop| {
        let (reports, finished) = (Arc::clone(&reports), Arc::clone(&finished));
        async move {
            let sales = report(run, shop).await?;
            if reports.fetch_add(1, Ordering::Relaxed) == 3 {
                finished.notify_one();
            }
            Ok(sales)
        }
    });
    worker.run_until(done.notified()).await?;
    often.pause().await?;
    println!("{}", often.info().await?);
    Ok(store.close().await?)
}

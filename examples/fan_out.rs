//! Children: a run starts other runs, each with its own journal, and collects their results.
//!
//! `cargo run --example fan_out`

use std::error::Error;
use std::future::IntoFuture;

use awaitly::clock::ms;
use awaitly::engine::{Client, Contract, Queue, RunExt, Worker};
use awaitly::persistence::SqliteStore;
use awaitly::store::{Operate, RunQuery};
use awaitly::{DurableRun, RunError, step};
use futures_util::future::join_all;

/// Counts the words of several pages, and returns the sum.
const SUM: Contract<Vec<String>, usize, awaitly::Error<RunError>> = Contract::new("sum");
const COUNT: Contract<String, usize, RunError> = Contract::new("count");

async fn fetch(page: &str) -> Result<String, RunError> {
    tokio::time::sleep(ms(20)).await;
    Ok(format!("the page {page} has {} words", page.len()))
}

async fn count(run: DurableRun, page: String) -> Result<usize, RunError> {
    let text = step!(run, fetch(&page));
    Ok(text.split(' ').count())
}

async fn sum(run: DurableRun, pages: Vec<String>) -> Result<usize, awaitly::Error<RunError>> {
    // Starts all children at once. The run waits in the store until they have ended.
    let children = pages.iter().map(|page| {
        let child = run.child(COUNT, format!("count {page}"), page).queue("pages");
        child.into_future()
    });
    join_all(children).await.into_iter().sum()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("pages.db")).await?;
    let client = Client::new(store.clone());
    let pages: Vec<String> = (1..=20).map(|number| format!("page-{number}")).collect();
    let words = client.start(SUM, "all pages", &pages).await?;

    // All workers together count at most four pages at a time.
    let worker = Worker::new(store.clone())
        .serve(SUM, sum)
        .serve(COUNT, count)
        .queue(Queue::new("pages").concurrency(4));
    let mut counted = None;
    worker.run_until(async { counted = Some(words.result().await) }).await?;
    println!("{} words", counted.ok_or("the worker stops when the words are counted")??);

    let runs = store.list(RunQuery::new()).await?.items;
    println!(
        "{} runs, {} of them children",
        runs.len(),
        runs.iter().filter(|run| &*run.workflow == "count").count()
    );
    Ok(store.close().await?)
}

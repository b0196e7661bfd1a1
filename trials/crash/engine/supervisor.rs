use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use awaitly::clock::secs;
use awaitly::engine::{Client, Schedule, SendError};
use awaitly::store::{Dispatch, Unsent};
use clap::ValueEnum;

use super::body::{NOTES, ORDER, ORDERS, TICK};
use super::judge::{Evidence, judge};
use super::{WORKERS, With, effects};
use crate::ledger::count;
use crate::store::Place;

/// The process that kills workers.
pub(super) struct Supervise<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) kills: u32,
    pub(super) seed: u64,
}

/// The number of recent orders that the supervisor checks. It keeps half as many orders open.
const OPEN: usize = 100;

/// The maximum number of orders that the supervisor starts between two kills.
const STARTED: usize = 20;

/// The time after which an order that has not ended is lost.
const PATIENCE: Duration = secs(120);

impl With for Supervise<'_> {
    type Output = bool;

    async fn with<S: Dispatch + Clone>(self, store: S) -> Result<bool> {
        let Self { place, kills, seed } = self;
        let mut dice = fastrand::Rng::with_seed(seed);
        let client = Client::new(store.clone());
        client.schedule("tick", Schedule::every(secs(1)), TICK, &()).await?;
        let mut workers = Workers::default();
        for life in 1..=WORKERS as u32 {
            workers.0.push(start(place, life)?);
        }
        let mut orders = Vec::new();
        let begun = store.now().await?;
        for kill in 1..=kills {
            start_orders(&client, &mut orders).await?;
            let before = count(&effects(place.folder));
            wait_for_effect(place, before).await?;
            tokio::time::sleep(Duration::from_micros(dice.u64(0..60_000))).await;
            let victim = dice.usize(0..WORKERS);
            if let Some(worker) = workers.0.get_mut(victim) {
                ensure!(worker.try_wait()?.is_none(), "a worker ended before it was killed");
                worker.kill()?;
                worker.wait()?;
                *worker = start(place, WORKERS as u32 + kill)?;
            }
            if kill % 20 == 0 {
                println!("killed {kill}, {} orders and {before} effects so far", orders.len());
            }
        }
        let results = wait_for_orders(&client, &orders).await?;
        client.find_schedule("tick").pause().await?;
        // The runs of the last ticks need time to end.
        tokio::time::sleep(secs(3)).await;
        workers.terminate()?;
        let evidence = Evidence { orders, results, kills, begun };
        judge(place.folder, &store, &evidence).await
    }
}

/// Keeps the number of open orders high enough for the workers. Sends each order its messages, before or after it
/// begins.
async fn start_orders<S: Dispatch + Clone>(client: &Client<S>, orders: &mut Vec<String>) -> Result<()> {
    let recent = orders.iter().rev().take(OPEN);
    let mut open = 0;
    for order in recent {
        open += usize::from(!client.find(ORDER, order.as_str())?.has_ended().await?);
    }
    let first = orders.len();
    let new = first..first + (OPEN / 2).saturating_sub(open).min(STARTED);
    for number in new {
        let order = format!("order-{number}");
        let started = client.start(ORDER, order.as_str(), &(number as u64));
        let started = started.queue(ORDERS).key(format!("customer {}", number % 7)).await?;
        for note in 0..NOTES {
            // A client that does not know whether it has sent a message sends it again.
            for _ in 0..2 {
                match started.send("notes", &note).id(format!("note {note}")).await {
                    // The order may have received its last note and ended before the supervisor sends the note again.
                    Err(SendError::Unsent(Unsent::Ended { .. })) | Ok(()) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        orders.push(order);
    }
    Ok(())
}

async fn wait_for_effect(place: &Place<'_>, before: usize) -> Result<()> {
    let begun = Instant::now();
    while count(&effects(place.folder)) == before {
        ensure!(begun.elapsed() < PATIENCE, "the workers did nothing for {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Waits for the results of all orders. An order is lost if no order before it ended for a long time, and it did not, either.
async fn wait_for_orders<S: Dispatch + Clone>(
    client: &Client<S>,
    orders: &[String],
) -> Result<Vec<Option<super::body::Receipt>>> {
    let mut patience = PATIENCE;
    let mut results = Vec::new();
    for order in orders {
        let order = client.find(ORDER, order.as_str())?;
        let result = tokio::time::timeout(patience, order.result()).await;
        if result.is_err() {
            println!("{} has not ended", order.id());
            // The others had as much time.
            patience = secs(1);
        }
        if let Ok(Err(error)) = &result {
            println!("{} failed: {error}", order.id());
        }
        results.push(result.ok().and_then(Result::ok));
    }
    Ok(results)
}

/// The worker processes. They end with the supervisor.
#[derive(Default)]
struct Workers(Vec<Child>);

impl Workers {
    /// Stops all workers with SIGTERM, and checks that they stop in an orderly manner.
    fn terminate(mut self) -> Result<()> {
        for worker in &self.0 {
            let killed = Command::new("kill").arg(worker.id().to_string()).status()?;
            ensure!(killed.success(), "a worker could not be terminated");
        }
        for worker in &mut self.0 {
            let status = worker.wait()?;
            ensure!(status.success(), "a worker failed: {status}");
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

fn start(place: &Place<'_>, life: u32) -> Result<Child> {
    let kind = place.kind.to_possible_value().context("every store has a name")?;
    let mut worker = Command::new(std::env::current_exe()?);
    worker.args(["--engine", "--store", kind.get_name(), "--worker"]).arg(place.folder).arg(life.to_string());
    worker.spawn().context("cannot start a worker")
}

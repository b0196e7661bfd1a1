use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use awaitly::clock::{ms, secs};
use awaitly::engine::{Contract, Queue, Rate, RunExt, Worker};
use awaitly::store::Dispatch;
use awaitly::{DurableRun, Error, RunError, step};
use awaitly_trials::lines::Lines;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::{With, effects};
use crate::ledger::Effect;

/// The result of an order: the notes in the order in which the run received them, and the number of its part.
pub(super) type Receipt = (Vec<u32>, u64);

pub(super) const ORDER: Contract<u64, Receipt, Failure> = Contract::new("order");
pub(super) const PART: Contract<u64, u64, Failure> = Contract::new("part");
pub(super) const TICK: Contract<(), u64, Failure> = Contract::new("tick");

/// The number of notes that each order receives.
pub(super) const NOTES: u32 = 3;

/// The limited queue of the orders.
pub(super) const ORDERS: &str = "orders";

#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(super) enum Failure {
    #[error("the ledger cannot be written: {0}")]
    Ledger(String),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("the part failed: {0}")]
    Part(Box<Error<Self>>),
}

/// The steps of a worker process.
struct World {
    life: u32,
    effects: Lines,
}

impl World {
    /// Writes an effect into the ledger. It takes the place of a call to another service. `begun` is the time at which the
    /// execution of the body began.
    async fn happen(&self, run: &DurableRun, begun: u64, key: &str) -> Result<u64, Failure> {
        pause().await;
        let effect =
            Effect { key: run.idempotency_key(key), life: self.life, nonce: fastrand::u64(..), begun };
        self.effects.add(&effect).map_err(|error| Failure::Ledger(error.to_string()))?;
        pause().await;
        Ok(effect.nonce)
    }
}

/// Returns the time, in microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Waits up to two milliseconds, so that kills hit all states.
async fn pause() {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..2000))).await;
}

async fn order(world: Arc<World>, run: DurableRun, number: u64) -> Result<Receipt, Failure> {
    let begun = now();
    step!(run, "reserve", world.happen(&run, begun, "reserve"));
    let part = run.child(PART, "part", &number).await;
    let part = match part {
        Ok(part) => part,
        Err(Error::Run(pause)) => return Err(pause.into()),
        Err(failed) => return Err(Failure::Part(Box::new(failed))),
    };
    let mut notes = Vec::new();
    for _ in 0..NOTES {
        notes.push(step!(run.receive("notes")));
    }
    run.publish("notes", &notes).await?;
    step!(run, "confirm", world.happen(&run, begun, "confirm"));
    Ok((notes, part))
}

async fn part(world: Arc<World>, run: DurableRun, number: u64) -> Result<u64, Failure> {
    let begun = now();
    step!(run, "make", world.happen(&run, begun, "make"));
    if number.is_multiple_of(3) {
        step!(run.sleep("dry", ms(1500)));
    }
    step!(run, "pack", world.happen(&run, begun, "pack"));
    Ok(number)
}

/// A worker process.
pub(super) struct Work<'a> {
    pub(super) folder: &'a Path,
    pub(super) life: u32,
}

impl With for Work<'_> {
    type Output = ();

    async fn with<S: Dispatch + Clone>(self, store: S) -> Result<()> {
        let world = Arc::new(World { life: self.life, effects: Lines::open(&effects(self.folder))? });
        let (orders, parts, ticks) = (Arc::clone(&world), Arc::clone(&world), world);
        let orders = move |run, number| order(Arc::clone(&orders), run, number);
        let parts = move |run, number| part(Arc::clone(&parts), run, number);
        let ticks = move |run: DurableRun, ()| {
            let world = Arc::clone(&ticks);
            async move { Ok(step!(run, "tick", world.happen(&run, now(), "tick"))) }
        };
        // Short leases, because some stores cannot detect the death of an owner before the lease expires.
        let worker = Worker::new(store)
            .serve_with(ORDER, |workflow| workflow.lease(ms(600)).park_after(ms(300)), orders)
            .serve_with(PART, |workflow| workflow.lease(ms(600)).park_after(ms(300)), parts)
            .serve_with(TICK, |workflow| workflow.lease(ms(600)), ticks)
            .queue(Queue::new(ORDERS).concurrency(24).per_key(6).rate(Rate::per_second(4000)).fair())
            .concurrency(16)
            // A run may be killed many times in a row before it records an outcome.
            .max_crashes(1000)
            .grace(secs(20));
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async {
            let _ = terminate.recv().await;
        };
        Ok(worker.run_until(stop).await?)
    }
}

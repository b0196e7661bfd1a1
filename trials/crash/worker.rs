use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use awaitly::clock::ms;
use awaitly::{DurableRun, Retry, RunError, Workflow, parallel, step};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::ledger::{Effect, Lines, Mark, read};
use crate::store::Place;

/// How many runs are executed at the same time, and how many steps of one are.
pub(crate) const RUNS: usize = 16;
pub(crate) const STEPS_AT_ONCE: usize = 2;

/// The keys of every run that was finished.
pub(crate) const KEYS: [&str; 9] =
    ["reserve", "charge", "ship[0]", "ship[1]", "ship[2]", "ship[3]", "tell.mail", "tell.text", "confirm"];

#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum WorldError {
    #[error("busy")]
    Busy,
    #[error("the ledger cannot be written: {0}")]
    Ledger(String),
}

#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum CrashError {
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// What the steps act on.
struct World {
    life: u32,
    effects: Lines,
    /// What the body saw: outcomes that were acknowledged, and so must never change.
    seen: Lines,
}

impl World {
    async fn happen(&self, run: &DurableRun, key: &str) -> Result<Effect, WorldError> {
        pause().await;
        let effect = Effect { key: run.idempotency_key(key), life: self.life, nonce: fastrand::u64(..) };
        self.effects.add(&effect).map_err(|error| WorldError::Ledger(error.to_string()))?;
        pause().await;
        Ok(effect)
    }

    /// The body has the outcome of a step.
    fn see(&self, effect: &Effect) -> Result<(), CrashError> {
        Ok(self.seen.add(effect).map_err(|error| WorldError::Ledger(error.to_string()))?)
    }

    /// The same, but does nothing half of the time.
    async fn maybe(&self, run: &DurableRun, key: &str) -> Result<Effect, WorldError> {
        if fastrand::bool() { Err(WorldError::Busy) } else { self.happen(run, key).await }
    }
}

/// Between nothing and a millisecond, so that kills meet every state.
async fn pause() {
    match fastrand::u64(0..4) {
        0 => {}
        1 => tokio::task::yield_now().await,
        _ => tokio::time::sleep(Duration::from_micros(fastrand::u64(0..1000))).await,
    }
}

async fn body(run: &DurableRun, world: &World) -> Result<u64, CrashError> {
    world.see(&step!(run, "reserve", world.happen(run, "reserve")))?;
    let retry = Retry::fixed(ms(1)).attempts(50);
    world.see(&step!(run, "charge", retry = retry, world.maybe(run, "charge")))?;
    let ship = async |item: u32| world.happen(run, &format!("ship[{item}]")).await;
    for shipped in step!(run.each("ship", 0..4, ship).concurrency(STEPS_AT_ONCE)) {
        world.see(&shipped)?;
    }
    let (mail, text) = parallel!(run, "tell", {
        mail: world.happen(run, "tell.mail"),
        text: world.happen(run, "tell.text")
    });
    world.see(&mail)?;
    world.see(&text)?;
    let confirmed = step!(run, "confirm", world.happen(run, "confirm"));
    world.see(&confirmed)?;
    Ok(confirmed.nonce)
}

#[tokio::main(worker_threads = 2)]
pub(crate) async fn work(place: &Place<'_>, life: u32, finish: bool) -> Result<ExitCode> {
    let folder = place.folder;
    // Where a store cannot tell that an owner died, its lease lasts until its time is over.
    let workflow = Workflow::new("crash").any_store(place.open().await?).lease(ms(300));
    let marks = Arc::new(Lines::open(&folder.join("runs.jsonl"))?);
    let world = Arc::new(World {
        life,
        effects: Lines::open(&folder.join("effects.jsonl"))?,
        seen: Lines::open(&folder.join("seen.jsonl"))?,
    });

    let mut left = unfinished(folder)?.into_iter();
    let mut fresh = (0..).map(|number| format!("{life}/{number}")).take_while(|_| !finish);
    let mut running = JoinSet::new();
    loop {
        while running.len() < RUNS {
            let Some(run) = left.next().or_else(|| fresh.next()) else {
                break;
            };
            let (workflow, marks, world) = (workflow.clone(), Arc::clone(&marks), Arc::clone(&world));
            running.spawn(async move {
                marks.add(&Mark::Begun(run.clone()))?;
                execute(&workflow, &run, &world).await?;
                marks.add(&Mark::Ended(run))?;
                anyhow::Ok(())
            });
        }
        match running.join_next().await {
            Some(ended) => ended??,
            None => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for the lease of the worker that was killed, where it has to.
async fn execute(workflow: &Workflow, run: &str, world: &World) -> Result<()> {
    loop {
        match workflow.run(run, async |run| body(run, world).await).await {
            Err(CrashError::Run(RunError::Busy { remaining, .. })) => tokio::time::sleep(remaining).await,
            ended => return Ok(ended.map(drop)?),
        }
    }
}

/// The runs that some worker began and none has ended.
fn unfinished(folder: &Path) -> Result<BTreeSet<String>> {
    let mut left = BTreeSet::new();
    for mark in read::<Mark>(&folder.join("runs.jsonl"))? {
        match mark {
            Mark::Begun(run) => drop(left.insert(run)),
            Mark::Ended(run) => drop(left.remove(&run)),
        }
    }
    Ok(left)
}

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use awaitly::clock::ms;
use awaitly::{DurableRun, Retry, RunError, Workflow, parallel, step};
use awaitly_trials::lines::{Lines, read};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::ledger::{Effect, Mark};
use crate::store::Place;

/// The numbers of concurrent runs, and of concurrent steps of one run.
pub(crate) const RUNS: usize = 16;
pub(crate) const STEPS_AT_ONCE: usize = 2;

/// The keys of a finished run.
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

/// The files that the steps write.
struct World {
    life: u32,
    effects: Lines,
    /// The outcomes that bodies received. They were acknowledged, so they must never change.
    seen: Lines,
}

impl World {
    async fn happen(&self, run: &DurableRun, key: &str) -> Result<Effect, WorldError> {
        pause().await;
        let effect =
            Effect { key: run.idempotency_key(key), life: self.life, nonce: fastrand::u64(..), begun: 0 };
        self.effects.add(&effect).map_err(|error| WorldError::Ledger(error.to_string()))?;
        pause().await;
        Ok(effect)
    }

    /// Notes that the body received the outcome of a step.
    fn see(&self, effect: &Effect) -> Result<(), CrashError> {
        Ok(self.seen.add(effect).map_err(|error| WorldError::Ledger(error.to_string()))?)
    }

    /// Like `happen`, but fails half of the time.
    async fn maybe(&self, run: &DurableRun, key: &str) -> Result<Effect, WorldError> {
        if fastrand::bool() { Err(WorldError::Busy) } else { self.happen(run, key).await }
    }
}

/// Waits up to a millisecond, so that kills hit all states.
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
    // If a store cannot detect the death of an owner, the lease lasts until it expires.
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

/// Executes a run, and waits until the lease of a killed worker has expired.
async fn execute(workflow: &Workflow, run: &str, world: &World) -> Result<()> {
    loop {
        match workflow.run(run, async |run| body(run, world).await).await {
            Err(CrashError::Run(RunError::Busy { remaining, .. })) => tokio::time::sleep(remaining).await,
            ended => return Ok(ended.map(drop)?),
        }
    }
}

/// Returns the runs that a worker began and that have not ended.
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

//! A server that is stopped and killed under hundreds of runs, and comes back.

mod after_crash;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use awaitly::Workflow;
use awaitly::clock::secs;
use tokio::task::{JoinSet, LocalSet};

use crate::judge::judge;
use crate::schema::Schema;
use crate::server::{self, Server, Stop};
use crate::world::{Plan, World};

const OUTAGES: usize = 6;
const RUNS: usize = 500;

/// Shorter than most outages, so that the store gives up as well as waits.
const PATIENCE: Duration = secs(5);

/// How long the runs may take to get to their ends once the server is back for good.
const BOUND: Duration = secs(60);

pub(crate) async fn execute(longest: Duration, dice: fastrand::Rng) -> Result<bool> {
    let outages = server::lend(&[], async |server| {
        let url = server.url();
        LocalSet::new()
            .run_until(Schema::lend(&url, async |schema| outage(schema, server, longest, dice).await))
            .await
    });
    let holds = outages.await?;
    let after_crash = [
        after_crash::fences().await?,
        after_crash::keeps().await?,
        after_crash::takes_along().await?,
        after_crash::leaves_no_gap().await?,
    ];
    Ok(holds && !after_crash.contains(&false))
}

async fn outage(
    schema: &Schema,
    server: &mut Server,
    longest: Duration,
    mut dice: fastrand::Rng,
) -> Result<bool> {
    let began = Instant::now();
    let store = schema.options().patience(PATIENCE).connect(&schema.url).await?;
    // As many steps with such pauses as keep a run busy while the server is up.
    let plan = |run| Plan { ticks: 25, asks: run % 4 == 0 };
    let world = Arc::new(World::new(schema, store.clone(), 0..500_000));
    let workflow = Workflow::new("chaos").store(store.clone()).lease(secs(10));
    let runs: Vec<_> = (0..RUNS).map(|run| (format!("run-{run}"), plan(run))).collect();
    let mut running = JoinSet::new();
    for (run, plan) in runs.clone() {
        let (workflow, world) = (workflow.clone(), Arc::clone(&world));
        running.spawn_local(async move { world.complete(&workflow, &run, plan).await });
    }
    let mut longest_outage = Duration::ZERO;
    let longest_at = dice.usize(0..OUTAGES);
    for number in 0..OUTAGES {
        tokio::time::sleep(Duration::from_millis(dice.u64(1000..4000))).await;
        let length = longest.mul_f64(if number == longest_at { 1.0 } else { dice.f64() });
        let gone = Instant::now();
        server.down(if number % 2 == dice.usize(0..2) { Stop::Kill } else { Stop::Fast }).await?;
        tokio::time::sleep(length).await;
        server.up().await?;
        longest_outage = longest_outage.max(gone.elapsed());
    }
    let back = Instant::now();
    let until = tokio::time::Instant::now() + BOUND;
    while let Ok(Some(ended)) = tokio::time::timeout_at(until, running.join_next()).await {
        ended??;
    }
    let (stuck, ended_after) = (running.len(), back.elapsed());
    running.shutdown().await;
    drop(workflow);
    store.close().await?;
    let store = schema.store().await?;
    let verdict = judge(schema, &world, &store, &runs).await?;
    store.close().await?;
    println!(
        "outages {OUTAGES} · longest {:.0} s · runs {RUNS} · lost {} · stuck {stuck} · recorded twice {} · \
         transactional effects doubled {} · failed by the store {} · repeated {} · all ended {:.0} s after the last \
         start · {:.0} s",
        longest_outage.as_secs_f64(),
        verdict.lost,
        verdict.recorded_twice,
        verdict.doubled,
        verdict.failed,
        verdict.repeated,
        ended_after.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    Ok(verdict.holds() && stuck == 0)
}

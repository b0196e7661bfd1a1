//! Connections that are cut between a commit and its answer.

mod mute;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use awaitly::Workflow;
use awaitly::clock::{ms, secs};
use tokio::task::{JoinSet, LocalSet};

use crate::judge::judge;
use crate::proxy::{Cut, Proxy};
use crate::schema::Schema;
use crate::wire::Kind;
use crate::world::{Plan, World};

const CUTS: usize = 200;
const RUNS_AT_ONCE: usize = 16;
const CONNECTIONS: u32 = 12;
const PATIENCE: Duration = secs(10);

/// How long the runs may take to get to their ends once nothing is cut any more.
const BOUND: Duration = secs(60);

pub(crate) async fn execute(url: &str, dice: fastrand::Rng) -> Result<bool> {
    let cut_and_mute = async |schema: &Schema| Ok(cut(schema, dice).await? & mute::answers(schema).await?);
    LocalSet::new().run_until(Schema::lend(url, cut_and_mute)).await
}

/// The runs stay on one thread: a body with a step that is transactional in PostgreSQL is not `Send` for the
/// compiler.
async fn cut(schema: &Schema, dice: fastrand::Rng) -> Result<bool> {
    let began = Instant::now();
    let proxy = Arc::new(Proxy::start(&schema.url).await?);
    let store = schema.options().patience(PATIENCE).open(proxy.pool(CONNECTIONS)).await?;
    let world = Arc::new(World::new(schema, store.clone(), 0..1000));
    let workflow = Workflow::new("chaos").store(store.clone()).lease(secs(5));

    let over = Arc::new(AtomicBool::new(false));
    let cutting = tokio::spawn(cut_all(Arc::clone(&proxy), dice, Arc::clone(&over)));
    let (mut running, mut runs) = (JoinSet::new(), Vec::new());
    loop {
        while running.len() < RUNS_AT_ONCE && !over.load(Ordering::Relaxed) {
            let plan = Plan { ticks: 3, asks: runs.len() % 4 == 0 };
            let (workflow, world, run) =
                (workflow.clone(), Arc::clone(&world), format!("run-{}", runs.len()));
            runs.push((run.clone(), plan));
            running.spawn_local(async move { world.complete(&workflow, &run, plan).await });
        }
        match tokio::time::timeout(BOUND, running.join_next()).await? {
            Some(ended) => ended??,
            None => break,
        }
    }
    cutting.await?;
    ensure!(!proxy.is_armed(), "a cut was left over");

    drop(workflow);
    store.close().await?;
    let store = schema.store().await?;
    let verdict = judge(schema, &world, &store, &runs).await?;
    store.close().await?;
    let total = |cut| proxy.cuts(cut).iter().map(|(_, times)| times).sum::<usize>();
    println!(
        "  cut under {:?}, and {} more while the server was at it",
        proxy.cuts(Cut::Answered),
        total(Cut::UnderWay)
    );
    println!(
        "cuts {} · runs {} · lost {} · recorded twice {} · transactional effects doubled {} · failed by the store {} · repeated {} · {:.1} s",
        total(Cut::Answered),
        runs.len(),
        verdict.lost,
        verdict.recorded_twice,
        verdict.doubled,
        verdict.failed,
        verdict.repeated,
        began.elapsed().as_secs_f64()
    );
    Ok(verdict.holds() && total(Cut::Answered) >= CUTS)
}

/// Cuts until answers were swallowed often enough; some cuts more meet a server that is still at it.
async fn cut_all(proxy: Arc<Proxy>, mut dice: fastrand::Rng, over: Arc<AtomicBool>) {
    while proxy.cuts(Cut::Answered).iter().map(|(_, times)| times).sum::<usize>() < CUTS {
        tokio::time::sleep(Duration::from_micros(dice.u64(0..40_000))).await;
        let cut = if dice.u8(0..5) == 0 { Cut::UnderWay } else { Cut::Answered };
        let kind = dice.choice(Kind::ALL);
        proxy.cut_next(kind, cut);
        // What does not come soon may never come: then anything will do.
        let (armed, mut patient) = (Instant::now(), true);
        while proxy.is_armed() {
            if patient && armed.elapsed() > ms(300) {
                proxy.cut_next(None, cut);
                patient = false;
            }
            tokio::time::sleep(ms(1)).await;
        }
    }
    over.store(true, Ordering::Relaxed);
}

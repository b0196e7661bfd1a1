//! How many cases of a crash test are played in a second, beside the runs that a case is made of.

use std::future::ready;
use std::hint::black_box;
use std::time::Instant;

use awaitly::persistence::MemoryStore;
use awaitly::testing::crash::{CrashTest, Ledger};
use awaitly::{DurableRun, RunError, Workflow, step};

use crate::measure::median;
use crate::row::Row;

const STEPS: [&str; 5] = ["reserve", "charge", "pack", "ship", "mail"];
const TURNS: usize = 7;
/// What the floor executes in a turn.
const RUNS: usize = 6000;

async fn act(ledger: Option<&Ledger>, what: &str, key: &str) -> Result<u64, RunError> {
    if let Some(ledger) = ledger {
        ledger.note_once(key, what);
    }
    ready(Ok(black_box(7))).await
}

async fn order(run: &DurableRun, ledger: Option<&Ledger>) -> Result<u64, RunError> {
    let mut sum = 0;
    for name in STEPS {
        let key = run.idempotency_key(name);
        sum += step!(run, name, act(ledger, name, &key));
    }
    Ok(sum)
}

/// Two runs to their end, as a case has at most, with nothing around them.
async fn floor() -> f64 {
    let began = Instant::now();
    for _ in 0..RUNS {
        for _ in 0..2 {
            let workflow = Workflow::new("order").store(MemoryStore::new());
            let _ = black_box(workflow.run("o", async |run| order(run, None).await).await);
        }
    }
    RUNS as f64 / began.elapsed().as_secs_f64()
}

async fn cases() -> f64 {
    let began = Instant::now();
    let report = CrashTest::new()
        .everywhere(async |world| {
            let ledger = world.ledger();
            let workflow = world.workflow(Workflow::new("order"));
            workflow.run("o", async |run| order(run, Some(&ledger)).await).await
        })
        .await;
    report.assert_same_outcome();
    report.cases() as f64 / began.elapsed().as_secs_f64()
}

/// # Panics
/// Where a runtime cannot be built.
pub(crate) fn measure() -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let turn = |_| runtime.block_on(async { (floor().await, cases().await) });
    let (floors, ours): (Vec<_>, Vec<_>) = (0..TURNS).map(turn).unzip();
    let row = Row::plain("crash cases of five steps on MemoryStore", median(ours), "/s");
    vec![row.floor(median(floors)).at_least(20_000.0)]
}

//! Tasks of a process, which end with it.

use std::future::pending;

use awaitly_core::clock::{mins, secs};
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::Contract;
use awaitly_testing::crash::{CrashTest, Finding, World};

use super::super::Shop;
use super::{body, shop, text};

const ORDER: Contract<u64, u64, RunError> = Contract::new("order");

/// Charges with a service that takes ten seconds and does not recognize repeated calls.
async fn order(run: DurableRun, _: u64, shop: Shop) -> Result<u64, RunError> {
    for name in ["reserve", "charge"] {
        let shop = &shop;
        let key = run.idempotency_key(name);
        step!(run, name, async move {
            tokio::time::sleep(secs(10)).await;
            shop.act(name, key).await
        });
    }
    Ok(7)
}

#[tokio::test(start_paused = true)]
async fn spawned_worker_dies_with_its_process() {
    let process = async |world: World| {
        let worker = world
            .worker()
            .serve(ORDER, body!(shop(&world), |run, cents: u64, shop| order(run, cents, shop).await));
        tokio::spawn(async move { worker.run_until(pending()).await });
        let run = world.client().start(ORDER, "order", &1).await.map_err(text)?;
        run.result().await.map_err(text)
    };
    CrashTest::new().max_cases(1_000).everywhere(process).await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn worker_that_outlives_its_process_is_found() {
    let process = async |world: World| {
        let worker = world
            .worker()
            .serve(ORDER, body!(shop(&world), |run, cents: u64, shop| order(run, cents, shop).await));
        tokio::spawn(async move { worker.run_until(pending()).await });
        let _ = world.client().start(ORDER, "order", &1).await.map_err(text)?;
        tokio::time::sleep(secs(15)).await;
        Ok::<_, String>(())
    };
    let report = CrashTest::new().everywhere(process).await;
    let found = report.findings();
    let is_effect =
        |one: &Finding| matches!(one, Finding::EffectAfterEnd { effect, .. } if effect == "charge");
    assert!(found.iter().any(is_effect), "{report}");
    let write = "before the record of step `charge`";
    let is_write =
        |one: &Finding| matches!(one, Finding::WriteAfterEnd { write: found, .. } if found == write);
    assert!(found.iter().any(is_write), "{report}");
}

#[tokio::test(start_paused = true)]
async fn forgotten_run_is_found() {
    use super::broken::Forgetful;
    use awaitly_testing::PausedClock;

    let test = CrashTest::new().store(|| Forgetful(PausedClock::new().store())).time_limit(mins(20));
    let process = async |world: World<Forgetful>| {
        let nap = async |run: DurableRun, cents: u64| {
            step!(run.sleep("nap", mins(1)));
            Ok(cents)
        };
        let worker = world.worker().serve(ORDER, nap);
        let run = world.client().start(ORDER, "order", &1).await.map_err(text)?;
        super::work(&worker, run.result()).await?.map_err(text)
    };
    let report = test.everywhere(process).await;
    let is_forgotten = |one: &Finding| matches!(one, Finding::Forgotten { run, .. } if &**run == "order");
    assert!(report.findings().iter().any(is_forgotten), "{report}");
    let text = "run `order` of `order` has no lease, no due time and no question";
    assert!(report.to_string().contains(text), "{report}");
}

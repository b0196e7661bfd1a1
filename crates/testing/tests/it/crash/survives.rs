//! Correct workflows, and the number of cases played.

use awaitly_core::{RunError, Workflow};
use awaitly_testing::crash::{CrashTest, crash_randomly};

use super::{Shop, crashed, order};

#[tokio::test(start_paused = true)]
async fn five_steps_survive_two_accidents_at_any_boundary() {
    let report = crashed(CrashTest::new(), order).await;
    report.assert_same_outcome();
    assert!(report.cases() > 1000);
}

#[tokio::test(start_paused = true)]
async fn ten_concurrent_runs_survive_random_deaths() {
    let report = crash_randomly(7, 10, async |world| {
        let shop = Shop { ledger: world.ledger() };
        world.workflow(Workflow::new("order")).run("o", async |run| order(run, &shop).await).await
    })
    .await;
    report.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn test_without_a_run_fails() {
    let report = CrashTest::new().everywhere(async |_| Ok::<_, RunError>(())).await;
    assert!(report.to_string().contains("world.workflow(..)"), "{report}");
}

//! Sagas: completed or undone, at whatever boundary the process dies.

use awaitly_core::{DurableRun, RunError, Workflow, step};
use awaitly_saga::{SagaError, saga};
use awaitly_testing::crash::CrashTest;

use super::Shop;

async fn trip(run: &DurableRun, shop: &Shop, refused: bool) -> Result<u64, SagaError<RunError>> {
    saga(run, async |saga| {
        for name in ["seat", "room", "car"] {
            let undo = move |_| async move {
                let undo = format!("undo {name}");
                shop.act(&undo, run.idempotency_key(&undo)).await
            };
            step!(saga, name, compensate = undo, shop.act(name, run.idempotency_key(name)));
        }
        if refused {
            step!(saga, "charge", async { Err::<u64, _>(RunError::Cancelled { step: None }) });
        }
        Ok(3)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn saga_is_completed_or_undone_after_any_death() {
    for refused in [false, true] {
        let report = CrashTest::new().max_cases(3_000).everywhere(async |world| {
            let shop = Shop { ledger: world.ledger() };
            let workflow = world.workflow(Workflow::new("trip"));
            workflow.run("t", async |run| trip(run, &shop, refused).await).await
        });
        let report = report.await;
        report.assert_same_outcome();
    }
}

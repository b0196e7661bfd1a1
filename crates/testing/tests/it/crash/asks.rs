//! A run that waits for a person's answer, which the process receives.

use awaitly_core::clock::days;
use awaitly_core::{DurableRun, RunError, Workflow, step};
use awaitly_hitl::{Approvals, Inbox};
use awaitly_testing::crash::CrashTest;

use super::Shop;

async fn expense(run: &DurableRun, shop: &Shop) -> Result<u64, RunError> {
    step!(run, "check", shop.act("check", run.idempotency_key("check")));
    let cents: u64 = step!(run.approval("manager").proposal(&4200_u64).expires_in(days(3)));
    step!(run, "pay", shop.act(&format!("pay {cents}"), run.idempotency_key("pay")));
    Ok(cents)
}

#[tokio::test(start_paused = true)]
async fn answer_survives_a_death_at_any_boundary() {
    let report = CrashTest::new().max_cases(4_000).everywhere(async |world| {
        let shop = Shop { ledger: world.ledger() };
        let workflow = world.workflow(Workflow::new("expense"));
        let run = async || workflow.run("trip", async |run| expense(run, &shop).await).await;
        match run().await {
            Err(RunError::Waiting { .. }) => {
                let inbox = Inbox::new(world.store());
                // If the store took the answer before the process died, the answer stays.
                let _ = inbox.at("trip", "manager").by("ada").approve(&4200_u64).await;
                run().await
            }
            ended => ended,
        }
    });
    let report = report.await;
    report.assert_same_outcome();
}

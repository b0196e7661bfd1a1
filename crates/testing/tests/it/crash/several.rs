//! Parallel steps, lists, races, nested steps, retries and sleeps, which all survive crashes.

use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::clock::{hours, ms, secs};
use awaitly_core::store::Durability;
use awaitly_core::{DurableRun, Retry, RunError, Workflow, parallel, race, step};
use awaitly_testing::crash::{Accident, CrashTest};

use super::{Shop, crashed};

async fn survives(body: impl AsyncFn(&DurableRun, &Shop) -> Result<u64, RunError>) {
    crashed(CrashTest::new().max_cases(4_000), body).await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn branches_and_lists_survive() {
    survives(async |run, shop| {
        let (left, right) = parallel!(run, "load", {
            left: shop.act("left", run.idempotency_key("left")),
            right: shop.act("right", run.idempotency_key("right")),
        });
        let parcels = step!(
            run.each("ship", 0..3_u64, |n| async move {
                shop.act("ship", run.idempotency_key(&format!("ship {n}"))).await
            })
            .concurrency(2)
        );
        Ok(left + right + parcels.iter().sum::<u64>())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn races_survive() {
    survives(async |run, shop| {
        let fastest = race!(run, "mirror", {
            async { run.clock().sleep_until(run.clock().now() + secs(1)).await; Ok::<_, RunError>(1) },
            async { Ok::<_, RunError>(2) },
        });
        let paid = step!(run, "charge", shop.act("charge", run.idempotency_key("charge")));
        Ok(fastest + paid)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nested_steps_and_sleeps_survive() {
    survives(async |run, shop| {
        let paid = step!(run, "pay", async {
            let charged = step!(run, "charge", shop.act("charge", run.idempotency_key("charge")));
            let booked = step!(run, "book", shop.act("book", run.idempotency_key("book")));
            Ok::<_, RunError>(charged + booked)
        });
        run.sleep("cool-off", hours(3)).await?;
        let shipped = step!(run, "ship", shop.act("ship", run.idempotency_key("ship")));
        Ok(paid + shipped)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn retries_survive() {
    survives(async |run, shop| {
        let calls = AtomicU32::new(0);
        let paid =
            step!(run, "charge", retry = Retry::exponential(ms(100)).attempts(9), timeout = secs(5), async {
                if calls.fetch_add(1, Ordering::Relaxed) < 2 {
                    return Err(RunError::Cancelled { step: None });
                }
                shop.act("charge", run.idempotency_key("charge")).await
            });
        Ok(paid)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lost_batched_outcomes_are_executed_again() {
    let report = CrashTest::new().everywhere(async |world| {
        let shop = Shop { ledger: world.ledger() };
        let workflow = world.workflow(Workflow::new("order").durability(Durability::Batched));
        workflow.run("o", async |run| super::order(run, &shop).await).await
    });
    report.await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn batched_outcome_is_really_lost() {
    // The service does not recognize repeated calls, so it shows that the recorded step was executed again.
    let test = CrashTest::new().only([Accident::Death(12)]);
    let report = crashed(test, async |run, shop| {
        Ok::<_, RunError>(step!(run, "mail", durability = Durability::Batched, shop.act_blindly("mail")))
    });
    let told = report.await.to_string();
    assert!(told.contains("process 1 died after the record of step `mail`"), "{told}");
}

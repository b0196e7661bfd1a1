//! The same outcome, wherever the process dies.

use awaitly::Workflow;
use awaitly::saga::SagaError;
use awaitly::testing::crash::World;
use awaitly::testing::{crash_everywhere, crash_randomly};

use crate::fake::FakeShop;
use crate::workflow::{OrderError, Payment, place_order};

/// One process, from its start to its end.
async fn order(world: &World, shop: &FakeShop) -> Result<Payment, OrderError> {
    let orders = world.workflow(Workflow::new("orders"));
    let placed = orders.run("order-42", async |run| place_order(run, shop, "tea").await).await;
    placed.map_err(SagaError::into_error)
}

#[tokio::test(start_paused = true)]
async fn an_order_is_placed_once_wherever_the_process_dies() {
    let report = crash_everywhere(async |world| {
        let shop = FakeShop::in_ledger(world.ledger());
        order(&world, &shop).await
    });
    report.await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn an_order_is_undone_once_wherever_the_process_dies() {
    let report = crash_everywhere(async |world| {
        let shop = FakeShop::in_ledger(world.ledger()).without_courier();
        order(&world, &shop).await
    });
    report.await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn ten_orders_at_once_survive_a_hundred_bad_days() {
    let report = crash_randomly(7, 10, async |world| {
        let shop = FakeShop::in_ledger(world.ledger());
        order(&world, &shop).await
    });
    report.await.assert_same_outcome();
}

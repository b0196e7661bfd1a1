//! The outcome does not depend on the point at which the process dies.

use awaitly::Workflow;
use awaitly::saga::SagaError;
use awaitly::testing::crash::World;
use awaitly::testing::{crash_everywhere, crash_randomly};

use crate::fake::FakeShop;
use crate::workflow::{OrderError, Payment, place_order};

/// Places an order: one process from its start to its end.
async fn order(world: &World, shop: &FakeShop) -> Result<Payment, OrderError> {
    let orders = world.workflow(Workflow::new("orders"));
    let placed = orders.run("order-42", async |run| place_order(run, shop, "tea").await).await;
    placed.map_err(SagaError::into_error)
}

#[tokio::test(start_paused = true)]
async fn order_is_placed_once_despite_crashes() {
    let report = crash_everywhere(async |world| {
        let shop = FakeShop::in_ledger(world.ledger());
        order(&world, &shop).await
    });
    report.await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn order_is_undone_once_despite_crashes() {
    let report = crash_everywhere(async |world| {
        let shop = FakeShop::in_ledger(world.ledger()).without_courier();
        order(&world, &shop).await
    });
    report.await.assert_same_outcome();
}

#[tokio::test(start_paused = true)]
async fn concurrent_orders_survive_random_crashes() {
    let report = crash_randomly(7, 10, async |world| {
        let shop = FakeShop::in_ledger(world.ledger());
        order(&world, &shop).await
    });
    report.await.assert_same_outcome();
}

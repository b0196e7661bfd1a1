//! Crash tests: the order is placed once, at whichever point the worker dies. They cover each moment at which the
//! supervisor can kill the worker, in paused time.
#![allow(clippy::unwrap_used, reason = "tests")]

use awaitly::Workflow;
use awaitly::store::Operate;
use awaitly::testing::crash::World;

use crate::ledger::Effect;
use crate::order::{Line, Order};
use crate::workflow::{Api, Receipt, place_order};

#[path = "../crash/stores.rs"]
mod stores;

stores::survives_on_every_store!(process);

async fn process<S: Operate>(world: World<S>) -> Result<Receipt, String> {
    let ledger = world.ledger();
    let happen = move |key: &str| {
        // A service returns its first answer again if it receives a key for the second time.
        ledger.note_once(key, key);
        Ok(Effect { idempotency_key: key.to_owned(), receipt: format!("receipt for {key}") })
    };
    let api = Api { happen: Box::new(happen), is_bank_away: || false };
    let line = |sku: &str| Line { sku: sku.to_owned(), quantity: 1, cents: 1299 };
    let lines = vec![line("tea"), line("mug")];
    let order = Order { id: "order-42".into(), customer: "ada".into(), card: "4242".into(), lines };
    let checkout = world.workflow(Workflow::new("checkout").input(&order));
    let placed = checkout.run(order.id.as_str(), async |run| place_order(run, &api, &order).await).await;
    placed.map_err(|error| error.to_string())
}

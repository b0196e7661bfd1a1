//! Crash tests: each step of the order is undone once, at whichever point the process dies.
#![allow(clippy::unwrap_used, reason = "tests")]

use awaitly::Workflow;
use awaitly::store::Operate;
use awaitly::testing::crash::World;

use super::{Shop, place_order};

#[path = "stores.rs"]
mod stores;

stores::survives_on_every_store!(process);

async fn process<S: Operate>(world: World<S>) -> Result<u64, String> {
    let ledger = world.ledger();
    let happens = move |key: &str, what: String| {
        match key.split_once(' ') {
            Some(("release", _)) => ledger.undo_once(key, "reserving tea"),
            Some(("refund", _)) => ledger.undo_once(key, "charging for hold 7"),
            _ => ledger.note_once(key, what),
        };
    };
    let shop = Shop { happens: Box::new(happens), ..Shop::default() };
    let orders = world.workflow(Workflow::new("orders"));
    let placed = orders.run("order-42", async |run| place_order(run, &shop).await).await;
    placed.map_err(|error| error.to_string())
}

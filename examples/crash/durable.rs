//! Crash tests: the order is placed once, at whichever point the process dies.
#![allow(clippy::unwrap_used, reason = "tests")]

use awaitly::Workflow;
use awaitly::store::Operate;
use awaitly::testing::crash::World;

use super::{Api, CheckoutError, place_order};

#[path = "stores.rs"]
mod stores;

stores::survives_on_every_store!(process);

async fn process<S: Operate>(world: World<S>) -> Result<u64, String> {
    let ledger = world.ledger();
    let api = Api {
        happens: Box::new(move |key, what| {
            ledger.note_once(key, what);
        }),
    };
    let checkout = world.workflow(Workflow::new("checkout"));
    let paid = checkout.run("order-42", async |run| place_order(run, &api, &["tea", "mug"]).await).await;
    paid.map_err(|error: CheckoutError| error.to_string())
}

//! The worker process, which the supervisor kills.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use awaitly::persistence::SqliteStore;
use awaitly::{RunError, Workflow, run};

use crate::ledger::Ledger;
use crate::order::{self, Order};
use crate::workflow::{Api, CheckoutError, Receipt, now_and_then, place_order};

/// The number of orders that run concurrently.
pub(crate) const CONCURRENCY: usize = 16;

/// Runs each order to its end. If an order ended in an earlier process, its result comes from the store.
#[tokio::main]
pub(crate) async fn work(folder: &Path, orders: &Path) -> Result<ExitCode> {
    let store = SqliteStore::open(folder.join("checkout.db")).await?;
    let checkout = Workflow::new("checkout").store(store.clone());
    let ledger = Ledger::open(&folder.join("ledger.jsonl"))?;
    let api = Api { happen: Box::new(move |key| ledger.happen(key)), is_bank_away: now_and_then };
    let orders = order::read(orders)?;

    let one = async |order: &Order| -> Result<Receipt, CheckoutError> {
        let checkout = checkout.clone().input(order);
        checkout.run(order.id.as_str(), async |run| place_order(run, &api, order).await).await
    };
    let results = run(async |run| {
        Ok::<_, RunError>(run.each("order", &orders, one).concurrency(CONCURRENCY).settle().await)
    })
    .await?;

    // A declined card is a normal result; other errors mean that an order is unfinished.
    let unfinished = results.iter().filter_map(|result| result.as_ref().err()?.failed());
    let unfinished = unfinished.filter(|error| !matches!(error, CheckoutError::Payment(_))).count();
    store.close().await?;
    Ok(if unfinished == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

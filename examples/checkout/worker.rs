//! The worker process, which the supervisor kills.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use awaitly::DurableRun;
use awaitly::engine::{Client, Contract, Worker};
use awaitly::persistence::SqliteStore;

use crate::ledger::Ledger;
use crate::order::{self, Order};
use crate::workflow::{Api, CheckoutError, Receipt, now_and_then, place_order};

/// The supervisor starts runs of this contract, and the worker executes them.
const CHECKOUT: Contract<Order, Receipt, CheckoutError> = Contract::new("checkout");

/// The number of orders that run concurrently.
pub(crate) const CONCURRENCY: usize = 16;

/// The file of the store, in the folder of the example.
pub(crate) const DATABASE: &str = "checkout.db";

/// Puts the orders into the store, as a web service would do for each request. The id of an order is the id of its run.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn start(folder: &Path, orders: &[Order]) -> Result<()> {
    let store = SqliteStore::open(folder.join(DATABASE)).await?;
    let client = Client::new(store.clone());
    let runs = orders.iter().map(|order| (order.id.as_str(), order.clone()));
    for started in client.start_many(CHECKOUT, runs).await? {
        started?;
    }
    Ok(store.close().await?)
}

/// Executes the orders, and continues those that an earlier process began. Returns when all orders have ended.
#[tokio::main]
pub(crate) async fn work(folder: &Path, orders: &Path) -> Result<()> {
    let orders = order::read(orders)?;
    let store = SqliteStore::open(folder.join(DATABASE)).await?;
    let ledger = Ledger::open(&folder.join("ledger.jsonl"))?;
    let api = Arc::new(Api { happen: Box::new(move |key| ledger.happen(key)), is_bank_away: now_and_then });
    let body = move |run: DurableRun, order: Order| {
        let api = Arc::clone(&api);
        async move { place_order(&run, &api, &order).await }
    };
    let worker = Worker::new(store.clone()).serve(CHECKOUT, body).concurrency(CONCURRENCY);
    let client = Client::new(store.clone());
    let mut ended = Ok(());
    worker.run_until(async { ended = all(&client, &orders).await }).await?;
    ended?;
    Ok(store.close().await?)
}

/// Waits until all orders have ended. A declined card is a normal result; other errors mean that the example is wrong.
async fn all(client: &Client<SqliteStore>, orders: &[Order]) -> Result<()> {
    for order in orders {
        match client.find(CHECKOUT, order.id.as_str())?.result().await {
            Ok(_) | Err(CheckoutError::Payment(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

//! The workflow of an order.

use std::time::Duration;

use awaitly::clock::ms;
use awaitly::engine::{Contract, RunExt};
use awaitly::saga::{SagaError, saga};
use awaitly::{DurableRun, Retry, RunError, step};
use serde::{Deserialize, Serialize};

/// Shared by the API and the worker.
pub(crate) const ORDER: Contract<String, u64, SagaError<OrderError>> = Contract::new("order");
pub(crate) const REPORT: Contract<(), (), RunError> = Contract::new("report");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("sold out")]
    SoldOut,
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The service that holds the stock and takes the money.
pub(crate) struct Warehouse {
    /// The time that each call takes.
    pub(crate) latency: Duration,
}

impl Warehouse {
    async fn reserve(&self, sku: &str) -> Result<u64, OrderError> {
        self.call(&format!("reserve {sku}")).await;
        if sku == "gold" { Err(OrderError::SoldOut) } else { Ok(7) }
    }

    async fn give_back(&self, hold: u64) -> Result<(), OrderError> {
        self.call(&format!("give back hold {hold}")).await;
        Ok(())
    }

    async fn charge(&self, hold: u64, key: String) -> Result<u64, OrderError> {
        self.call(&format!("charge for hold {hold} under the key {key}")).await;
        Ok(1299)
    }

    async fn pack(&self, hold: u64) -> Result<(), OrderError> {
        self.call(&format!("pack hold {hold}")).await;
        Ok(())
    }

    async fn call(&self, what: &str) {
        println!("{what}");
        tokio::time::sleep(self.latency).await;
    }
}

/// Executes an order, and gives the stock back if the order fails or is cancelled. Returns the price in cents.
pub(crate) async fn place_order(
    run: &DurableRun,
    warehouse: &Warehouse,
    sku: &str,
) -> Result<u64, SagaError<OrderError>> {
    saga(run, async |saga| {
        let hold =
            step!(saga, "reserve", compensate = |hold| warehouse.give_back(hold), warehouse.reserve(sku));
        run.publish("progress", "packing").await?;
        step!(saga, "pack", warehouse.pack(hold));
        let retry = Retry::exponential(ms(100)).attempts(5);
        let key = run.idempotency_key("charge");
        Ok(step!(saga, "charge", retry = retry, warehouse.charge(hold, key.clone())))
    })
    .await
}

/// Prints a report. The schedule `report` starts it each minute.
pub(crate) async fn report(run: DurableRun, (): ()) -> Result<(), RunError> {
    if let Some(minute) = run.scheduled_for() {
        println!("report for {} seconds after 1970", minute.as_millis() / 1000);
    }
    Ok(())
}

//! Orders that cannot be shipped: their steps are undone, even if the power fails in the middle of the undo.
//!
//! `cargo run --example refund_saga --features saga,sqlite`

use std::future::pending;
use std::path::Path;

use awaitly::persistence::SqliteStore;
use awaitly::saga::{SagaError, saga};
use awaitly::store::{RunId, Store};
use awaitly::{DurableRun, RunError, Workflow, step};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[cfg(test)]
#[path = "crash/refund_saga.rs"]
mod crash;

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum OrderError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Run(#[from] RunError),
}

async fn place_order(run: &DurableRun, shop: &Shop) -> Result<u64, SagaError<OrderError>> {
    saga(run, async |saga| {
        let key = run.idempotency_key("reserve");
        let hold = step!(saga, compensate = |hold| shop.release(hold), shop.reserve("tea", key));
        let payment = step!(saga, compensate = |payment| shop.refund(payment), shop.charge(hold));
        step!(saga, shop.ship(hold));
        Ok(payment)
    })
    .await
}

/// Places an order with the state on disk, like a process that has just started. Returns `None` if the power failed.
async fn process(file: &Path, order: &str, shop: &Shop) -> anyhow::Result<Option<String>> {
    let orders = Workflow::new("orders").store(SqliteStore::open(file).await?);
    let placed = orders.run(order, async |run| place_order(run, shop).await);
    let placed = tokio::select! {
        biased;
        () = shop.power_failure.notified() => return Ok(None),
        placed = placed => placed,
    };
    Ok(Some(match placed {
        Ok(payment) => format!("is paid with {payment}"),
        Err(error) if error.is_undone() => format!("failed and is undone: {error}"),
        Err(error) => format!("failed and is not undone: {error}"),
    }))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("orders.db");

    let shop = Shop::default();
    let ended = process(&file, "order-42", &shop).await?;
    println!("order-42 {}\n", ended.as_deref().unwrap_or("is interrupted"));

    let shop = Shop { has_power: false, ..shop };
    let ended = process(&file, "order-43", &shop).await?;
    println!("order-43 {}\n", ended.as_deref().unwrap_or("is interrupted: the power failed"));

    let shop = Shop { has_power: true, ..shop };
    let ended = process(&file, "order-43", &shop).await?;
    println!("order-43 {}", ended.as_deref().unwrap_or("is interrupted"));

    let stored = SqliteStore::open(&file).await?.load(&RunId::new("order-43")?).await?;
    let records = stored.into_iter().flat_map(|stored| stored.records);
    println!("recorded: {}", records.map(|record| record.key.to_string()).collect::<Vec<_>>().join(", "));
    Ok(())
}

/// Receives each effect: its identity and its description.
type Happens = Box<dyn Fn(&str, String) + Send + Sync>;

/// The services. Each call has its effect once for each order, hold and payment.
struct Shop {
    happens: Happens,
    /// Whether there is enough power to release a hold.
    has_power: bool,
    power_failure: Notify,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
struct ServiceError(String);

impl Default for Shop {
    fn default() -> Self {
        Self {
            happens: Box::new(|_, what| println!("{what}")),
            has_power: true,
            power_failure: Notify::new(),
        }
    }
}

impl Shop {
    async fn reserve(&self, sku: &str, idempotency_key: String) -> Result<u64, ServiceError> {
        (self.happens)(&idempotency_key, format!("reserving {sku}"));
        Ok(7)
    }

    async fn release(&self, hold: u64) -> Result<(), ServiceError> {
        if !self.has_power {
            self.power_failure.notify_one();
            pending::<()>().await;
        }
        (self.happens)(&format!("release {hold}"), format!("releasing hold {hold}"));
        Ok(())
    }

    async fn charge(&self, hold: u64) -> Result<u64, ServiceError> {
        (self.happens)(&format!("charge {hold}"), format!("charging for hold {hold}"));
        Ok(100 + hold)
    }

    async fn refund(&self, payment: u64) -> Result<(), ServiceError> {
        (self.happens)(&format!("refund {payment}"), format!("refunding payment {payment}"));
        Ok(())
    }

    async fn ship(&self, _hold: u64) -> Result<(), ServiceError> {
        Err(ServiceError("no courier comes to this place".into()))
    }
}

//! A durable run on one SQLite file, as in the README. Start the program twice, or kill it in the middle.

use awaitly::clock::{ms, secs};
use awaitly::persistence::SqliteStore;
use awaitly::{DurableRun, Retry, RunError, Workflow, step};
use serde::{Deserialize, Serialize};

#[cfg(test)]
#[path = "crash/durable.rs"]
mod crash;

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum CheckoutError {
    #[error(transparent)]
    Stock(#[from] StockError),
    #[error(transparent)]
    Payment(#[from] PaymentError),
    #[error(transparent)]
    Run(#[from] RunError), // timeouts, refusals, cancellation: one variant, not a wrapper
}

async fn place_order(run: &DurableRun, api: &Api, skus: &[&str]) -> Result<u64, CheckoutError> {
    let hold = step!(run, api.reserve(skus, run.idempotency_key("reserve"))); // the step is named `reserve`
    let paid = step!(
        run,
        "charge",
        retry = Retry::exponential(ms(100)).attempts(3).when(PaymentError::is_transient),
        timeout = secs(5),
        api.charge(hold, run.idempotency_key("charge"))
    );
    for sku in skus {
        let key = format!("ship:{sku}");
        step!(run, "ship", key = key.clone(), api.ship(sku, run.idempotency_key(&key)));
    }
    Ok(paid)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "checkout.db".into());
    let api = Api { happens: Box::new(|_, what| println!("{what}")) };

    let store = SqliteStore::open(file).await?;
    let checkout = Workflow::new("checkout").store(store);

    let paid = checkout.run("order-42", async |run| place_order(run, &api, &["tea", "mug"]).await).await?;

    println!("order-42 is paid: {paid}");
    Ok(())
}

/// Receives each effect: its idempotency key and its description.
type Happens = Box<dyn Fn(&str, String)>;

/// The services. Each call has its effect once for each idempotency key.
struct Api {
    happens: Happens,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("sold out")]
struct StockError;

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum PaymentError {
    #[error("the card was declined")]
    Declined,
    #[error("the bank does not answer")]
    Unreachable,
}

impl PaymentError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable)
    }
}

impl Api {
    async fn reserve(&self, skus: &[&str], idempotency_key: String) -> Result<u64, StockError> {
        (self.happens)(&idempotency_key, format!("reserving {}", skus.join(" and ")));
        if skus.is_empty() { Err(StockError) } else { Ok(7) }
    }

    async fn charge(&self, hold: u64, idempotency_key: String) -> Result<u64, PaymentError> {
        (self.happens)(&idempotency_key, format!("charging {idempotency_key}"));
        if hold == 0 { Err(PaymentError::Declined) } else { Ok(1299) }
    }

    async fn ship(&self, sku: &str, idempotency_key: String) -> Result<u64, StockError> {
        (self.happens)(&idempotency_key, format!("shipping {sku}"));
        Ok(1)
    }
}

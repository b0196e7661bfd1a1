//! A workflow and its tests, with one file for each kind of test. Copy them to test your own workflow.
//!
//! ```text
//! cargo run --example tests --features saga,testing
//! cargo test --example tests --features saga,testing
//! ```
//!
//! | file | tests |
//! | --- | --- |
//! | `unit.rs` | the path through the workflow, with scripted outcomes of its steps |
//! | `snapshot.rs` | the trace of a run, as a snapshot |
//! | `crash.rs` | an outcome that does not depend on the point at which the process dies |
//! | `faults.rs` | a bank that does not answer, and a store that fails |
//! | `replay.rs` | runs in flight that resume with the current code |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::type_complexity))]

mod workflow;

#[cfg(test)]
mod crash;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod unit;

use awaitly::Workflow;
use awaitly::persistence::MemoryStore;

use workflow::{Hold, NoCourier, Payment, PaymentError, Shop, SoldOut, place_order};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let orders = Workflow::new("orders").store(MemoryStore::new());
    for (order, sku) in [("order-42", "tea"), ("order-43", "anvil")] {
        let placed = orders.run(order, async |run| place_order(run, &Printed, sku).await).await;
        match placed {
            Ok(payment) => println!("{order} is on its way, payment {}\n", payment.id),
            Err(error) => println!("{order} is undone: {error}"),
        }
    }
}

/// A shop that prints what it does.
struct Printed;

impl Shop for Printed {
    async fn reserve(&self, sku: &str, key: String) -> Result<Hold, SoldOut> {
        println!("{key}: reserving {sku}");
        Ok(Hold { id: 7, sku: sku.into() })
    }

    async fn release(&self, hold: Hold) -> Result<(), SoldOut> {
        println!("releasing hold {}", hold.id);
        Ok(())
    }

    async fn charge(&self, hold: &Hold, key: String) -> Result<Payment, PaymentError> {
        println!("{key}: charging for hold {}", hold.id);
        Ok(Payment { id: 100 + hold.id })
    }

    async fn refund(&self, payment: Payment) -> Result<(), PaymentError> {
        println!("refunding payment {}", payment.id);
        Ok(())
    }

    async fn ship(&self, hold: &Hold, key: String) -> Result<(), NoCourier> {
        if hold.sku == "anvil" {
            return Err(NoCourier);
        }
        println!("{key}: shipping");
        Ok(())
    }
}

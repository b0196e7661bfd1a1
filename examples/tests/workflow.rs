//! The workflow under test, and the services that it calls.

use awaitly::clock::{ms, secs};
use awaitly::saga::{SagaError, saga};
use awaitly::{DurableRun, Retry, RunError, step};
use serde::{Deserialize, Serialize};

/// Reserves an item, charges the customer, and ships the item. If a step fails, undoes the earlier steps.
pub(crate) async fn place_order(
    run: &DurableRun,
    shop: &impl Shop,
    sku: &str,
) -> Result<Payment, SagaError<OrderError>> {
    saga(run, async |saga| {
        let hold = step!(
            saga,
            "reserve",
            compensate = |hold| shop.release(hold),
            shop.reserve(sku, run.idempotency_key("reserve"))
        );
        let payment = step!(
            saga,
            "charge",
            retry = Retry::exponential(ms(200)).attempts(4).when(PaymentError::is_transient),
            timeout = secs(5),
            compensate = |payment| shop.refund(payment),
            shop.charge(&hold, run.idempotency_key("charge"))
        );
        step!(saga, "ship", shop.ship(&hold, run.idempotency_key("ship")));
        Ok(payment)
    })
    .await
}

/// The services. A call that creates something takes an idempotency key; a call that undoes something recognises a repeated
/// call by its argument.
pub(crate) trait Shop: Sync {
    fn reserve(&self, sku: &str, key: String) -> impl Future<Output = Result<Hold, SoldOut>> + Send;
    fn release(&self, hold: Hold) -> impl Future<Output = Result<(), SoldOut>> + Send;
    fn charge(&self, hold: &Hold, key: String) -> impl Future<Output = Result<Payment, PaymentError>> + Send;
    fn refund(&self, payment: Payment) -> impl Future<Output = Result<(), PaymentError>> + Send;
    fn ship(&self, hold: &Hold, key: String) -> impl Future<Output = Result<(), NoCourier>> + Send;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) id: u64,
    pub(crate) sku: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) id: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum OrderError {
    #[error(transparent)]
    SoldOut(#[from] SoldOut),
    #[error(transparent)]
    Payment(#[from] PaymentError),
    #[error(transparent)]
    NoCourier(#[from] NoCourier),
    #[error(transparent)]
    Run(#[from] RunError),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("sold out")]
pub(crate) struct SoldOut;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the card was declined")]
pub(crate) struct Declined;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("no courier takes it")]
pub(crate) struct NoCourier;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum PaymentError {
    #[error(transparent)]
    Declined(#[from] Declined),
    #[error("the bank does not answer")]
    Unreachable,
}

impl PaymentError {
    fn is_transient(&self) -> bool {
        *self == Self::Unreachable
    }
}

//! The workflow, and the services that it calls.

use std::time::Duration;

use awaitly::clock::{ms, secs};
use awaitly::retry::Jitter;
use awaitly::{DurableRun, Retry, RunError, step};
use serde::{Deserialize, Serialize};

use crate::ledger::Effect;
use crate::order::{Line, Order};

#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum CheckoutError {
    #[error(transparent)]
    Payment(#[from] PaymentError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Run(#[from] RunError),
}

#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum PaymentError {
    #[error("the card was declined")]
    Declined,
    #[error("the bank does not answer")]
    Unreachable,
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl PaymentError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable)
    }
}

/// A service failed.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("the service failed: {0}")]
pub(crate) struct ServiceError(String);

/// The result of an order: a receipt for each effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) payment: Effect,
    pub(crate) parcels: Vec<Effect>,
}

/// The retry policy for the bank.
const BANK: Retry = Retry::exponential(ms(5)).attempts(12).jitter(Jitter::Equal);

/// Places an order: ordinary async Rust, with a step for each fallible call.
pub(crate) async fn place_order(
    run: &DurableRun,
    api: &Api,
    order: &Order,
) -> Result<Receipt, CheckoutError> {
    step!(run, api.reserve(order, run.idempotency_key("reserve")));
    let payment = step!(
        run,
        "charge",
        retry = BANK.when(PaymentError::is_transient),
        timeout = secs(5),
        api.charge(order, run.idempotency_key("charge"))
    );
    let mut parcels = Vec::new();
    for line in &order.lines {
        let key = format!("ship:{}", line.sku);
        parcels.push(step!(run, "ship", key = key.clone(), api.ship(line, run.idempotency_key(&key))));
    }
    step!(run, api.confirm(order, run.idempotency_key("confirm")));
    Ok(Receipt { payment, parcels })
}

type Happen = Box<dyn Fn(&str) -> std::io::Result<Effect> + Send + Sync>;

/// The outside world.
pub(crate) struct Api {
    /// Produces the effect of a call under its idempotency key.
    pub(crate) happen: Happen,
    pub(crate) is_bank_away: fn() -> bool,
}

impl Api {
    /// The latency of a call before its effect, and again after it.
    const WAY: Duration = ms(4);

    async fn reserve(&self, _order: &Order, key: String) -> Result<Effect, ServiceError> {
        self.call(&key).await
    }

    async fn charge(&self, order: &Order, key: String) -> Result<Effect, PaymentError> {
        if (self.is_bank_away)() {
            tokio::time::sleep(Self::WAY).await;
            return Err(PaymentError::Unreachable);
        }
        if order.card.ends_with("0002") {
            return Err(PaymentError::Declined);
        }
        Ok(self.call(&key).await?)
    }

    async fn ship(&self, _line: &Line, key: String) -> Result<Effect, ServiceError> {
        self.call(&key).await
    }

    async fn confirm(&self, _order: &Order, key: String) -> Result<Effect, ServiceError> {
        self.call(&key).await
    }

    async fn call(&self, key: &str) -> Result<Effect, ServiceError> {
        tokio::time::sleep(Self::WAY).await;
        let effect = (self.happen)(key).map_err(|error| ServiceError(error.to_string()))?;
        tokio::time::sleep(Self::WAY).await;
        Ok(effect)
    }
}

/// Returns true at random moments, on average in one of five calls.
pub(crate) fn now_and_then() -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.is_ok_and(|now| now.subsec_micros() % 5 == 0)
}

//! A shop whose services must not be called, and workflows that order in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use awaitly_core::clock::ms;
use awaitly_core::retry::Jitter;
use awaitly_core::{DurableRun, Retry, RunError, step};
use awaitly_saga::{SagaError, saga};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) id: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the card is declined")]
pub(crate) struct Declined;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum OrderError {
    #[error(transparent)]
    Declined(#[from] Declined),
    #[error(transparent)]
    Run(#[from] RunError),
}

pub(crate) async fn reserve() -> Result<Hold, RunError> {
    panic!("the stock was called")
}

pub(crate) async fn release(_: Hold) -> Result<(), RunError> {
    panic!("the stock was called")
}

pub(crate) async fn charge(_: &Hold) -> Result<u64, Declined> {
    panic!("the bank was called")
}

/// Reserves, and attempts the charge up to three times.
pub(crate) async fn order(run: &DurableRun) -> Result<u64, OrderError> {
    let hold = step!(run, reserve());
    let policy = Retry::exponential(ms(100)).jitter(Jitter::None).attempts(3);
    Ok(step!(run, "charge", retry = policy, charge(&hold)))
}

/// Reserves and charges, and releases the reservation if the charge fails.
pub(crate) async fn order_or_nothing(run: &DurableRun) -> Result<u64, SagaError<OrderError>> {
    saga(run, async |saga| {
        let hold = step!(saga, compensate = release, reserve());
        Ok(step!(saga, "charge", charge(&hold)))
    })
    .await
}

//! A durable saga records the error of its body, and what its compensations end in.
use awaitly_core::{DurableRun, RunError, step};
use awaitly_saga::{SagaError, saga};

#[derive(Debug, thiserror::Error)]
#[error("gone")]
enum TripError {
    Run(#[from] RunError),
}

async fn reserve() -> Result<u32, RunError> {
    Ok(7)
}

async fn release(_hold: u32) -> Result<(), RunError> {
    Ok(())
}

async fn trip(run: &DurableRun) -> Result<(), SagaError<TripError>> {
    saga(run, async |saga| {
        step!(saga, compensate = |hold| release(hold), reserve());
        Ok(())
    })
    .await
}

fn main() {}

//! The error of the saga has no way for the error of the compensation.
use awaitly_core::{Run, RunError, step};
use awaitly_saga::{SagaError, saga};

#[derive(Debug, thiserror::Error)]
#[error("it is gone")]
struct Gone;

#[derive(Debug, thiserror::Error)]
enum TripError {
    #[error(transparent)]
    Run(#[from] RunError),
}

async fn reserve() -> Result<u32, RunError> {
    Ok(7)
}

async fn release(_hold: u32) -> Result<(), Gone> {
    Err(Gone)
}

async fn trip(run: &Run) -> Result<(), SagaError<TripError>> {
    saga(run, async |saga| {
        step!(saga, compensate = |hold| release(hold), reserve());
        Ok(())
    })
    .await
}

fn main() {}

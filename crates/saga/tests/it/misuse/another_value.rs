//! The compensation takes something else than the value of its step.
use awaitly_core::{Run, RunError, step};
use awaitly_saga::{SagaError, saga};

async fn reserve() -> Result<u32, RunError> {
    Ok(7)
}

async fn release(_hold: String) -> Result<(), RunError> {
    Ok(())
}

async fn trip(run: &Run) -> Result<(), SagaError<RunError>> {
    saga(run, async |saga| {
        step!(saga, compensate = |hold| release(hold), reserve());
        Ok(())
    })
    .await
}

fn main() {}

//! The compensation borrows what belongs to the body, which has ended when it runs.
use awaitly_core::{Run, RunError, step};
use awaitly_saga::{SagaError, saga};

async fn reserve() -> Result<u32, RunError> {
    Ok(7)
}

async fn release(_hold: u32, _reason: &str) -> Result<(), RunError> {
    Ok(())
}

async fn trip(run: &Run) -> Result<(), SagaError<RunError>> {
    saga(run, async |saga| {
        let reason = String::from("the trip was cancelled");
        step!(saga, compensate = |hold| release(hold, &reason), reserve());
        Ok(())
    })
    .await
}

fn main() {}

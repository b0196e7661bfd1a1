//! A step of a run has no compensation.
use awaitly_core::{Run, RunError, step};

async fn reserve() -> Result<u32, RunError> {
    Ok(7)
}

async fn release(_hold: u32) -> Result<(), RunError> {
    Ok(())
}

async fn order(run: &Run) -> Result<u32, RunError> {
    Ok(step!(run, compensate = |hold| release(hold), reserve()))
}

async fn orders(run: &Run) -> Result<Vec<u32>, RunError> {
    Ok(step!(run.each("reserve", [1, 2], |_: u32| reserve()).compensate(release)))
}

fn main() {}

//! The value of a recorded step has no serde.
use awaitly_core::{DurableRun, RunError, step};

struct Receipt;

async fn charge() -> Result<Receipt, RunError> {
    Ok(Receipt)
}

async fn checkout(run: &DurableRun) -> Result<(), RunError> {
    step!(run, charge());
    Ok(())
}

fn main() {}

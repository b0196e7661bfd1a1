//! The error of the function has no way for the error of the step.
use awaitly_core::{Run, RunError, step};

#[derive(Debug, thiserror::Error)]
#[error("declined")]
struct PaymentError;

#[derive(Debug, thiserror::Error)]
enum CheckoutError {
    #[error(transparent)]
    Run(#[from] RunError),
}

async fn charge() -> Result<u32, PaymentError> {
    Ok(1)
}

async fn checkout(run: &Run) -> Result<u32, CheckoutError> {
    let paid = step!(run, charge());
    Ok(paid)
}

fn main() {}

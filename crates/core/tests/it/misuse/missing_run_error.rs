//! The error of the function has no room for `RunError`.
use awaitly_core::{Run, step};

#[derive(Debug, thiserror::Error)]
#[error("declined")]
struct PaymentError;

async fn charge() -> Result<u32, PaymentError> {
    Ok(1)
}

async fn checkout(run: &Run) -> Result<u32, PaymentError> {
    let paid = step!(run, charge());
    Ok(paid)
}

fn main() {}

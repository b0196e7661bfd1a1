//! `?` on an awaited step, in a function whose error does not take every step's failure.
use awaitly_core::{Run, RunError};

#[derive(Debug, thiserror::Error)]
enum CheckoutError {
    #[error(transparent)]
    Amount(#[from] std::num::ParseIntError),
    #[error(transparent)]
    Run(#[from] RunError),
}

async fn checkout(run: &Run) -> Result<u32, CheckoutError> {
    let amount = run.step("parse", || async { "12".parse::<u32>() }).await?;
    Ok(amount)
}

fn main() {}

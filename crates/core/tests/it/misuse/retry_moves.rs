//! A step that may be called again moves what it names.
use awaitly_core::{Retry, Run, RunError, clock::ms, step};

async fn charge(card: String) -> Result<u32, RunError> {
    Ok(card.len() as u32)
}

async fn checkout(run: &Run, card: String) -> Result<u32, RunError> {
    let paid = step!(run, "charge", retry = Retry::fixed(ms(10)), charge(card));
    Ok(paid)
}

fn main() {}

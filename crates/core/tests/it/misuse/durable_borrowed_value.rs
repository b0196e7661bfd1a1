//! A recorded step returns a value that borrows.
use awaitly_core::{DurableRun, RunError, step};

async fn first(cart: &[String]) -> Result<&str, RunError> {
    Ok(cart.first().map_or("nothing", |sku| sku))
}

async fn checkout(run: &DurableRun, cart: &[String]) -> Result<usize, RunError> {
    let first = step!(run, first(cart));
    Ok(first.len())
}

async fn label(run: &DurableRun) -> Result<&'static str, RunError> {
    let label = step!(run, "label", async { Ok::<&'static str, RunError>("fragile") });
    Ok(label)
}

fn main() {}

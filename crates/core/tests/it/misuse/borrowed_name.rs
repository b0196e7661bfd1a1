//! A method takes a name that is borrowed; `step!` copies it instead.
use awaitly_core::{Error, Run, RunError};

async fn ship(run: &Run) -> Result<u32, Error<RunError>> {
    let sku = String::from("tea");
    run.step(sku.as_str(), || async { Ok::<_, RunError>(1) }).await
}

async fn ship_one(run: &Run, sku: &str) -> Result<u32, Error<RunError>> {
    run.step(sku, || async { Ok::<_, RunError>(1) }).await
}

fn main() {}

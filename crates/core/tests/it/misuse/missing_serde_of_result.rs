//! The error of a durable run has no serde.
use awaitly_core::Workflow;

async fn checkout() -> Result<u32, anyhow::Error> {
    Workflow::new("checkout").run("order-42", async |_| Ok::<u32, anyhow::Error>(1)).await
}

fn main() {}

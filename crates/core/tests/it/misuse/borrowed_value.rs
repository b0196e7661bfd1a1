use awaitly_core::{Error, RunError, run, step};

async fn first(cart: &[String]) -> Result<&String, RunError> {
    cart.first().ok_or(RunError::Cancelled { step: None })
}

async fn name() -> Result<usize, Error<RunError>> {
    let cart = vec!["tea".to_owned()];
    run(async |run| {
        let first = step!(run, first(&cart));
        Ok(first.len())
    })
    .await
}

fn main() {
    let _ = name();
}

//! An option that there is not.
use awaitly_core::{Run, RunError, race, step};

async fn checkout(run: &Run) -> Result<u32, RunError> {
    let paid = step!(run, "charge", retries = 3, async { Ok::<_, RunError>(1) });
    let raced = race!(run, or_value = 9, { async { Ok::<_, RunError>(1) } });
    Ok(paid + raced)
}

fn main() {}

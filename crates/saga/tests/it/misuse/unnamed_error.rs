//! Nothing says what the saga fails with.
use awaitly_core::{Run, RunError, step};
use awaitly_saga::saga;

async fn reserve() -> Result<u32, RunError> {
    Ok(7)
}

async fn release(_hold: u32) -> Result<(), RunError> {
    Ok(())
}

async fn trip(run: &Run) {
    let trip = saga(run, async |saga| {
        let hold = step!(saga, compensate = |hold| release(hold), reserve());
        step!(saga, "seat", compensate = |seat| release(seat), reserve());
        step!(saga, "ship", release(hold));
        Ok(hold)
    });
    match trip.await {
        Ok(hold) => println!("hold {hold}"),
        Err(error) => println!("{error}"),
    }
}

fn main() {}

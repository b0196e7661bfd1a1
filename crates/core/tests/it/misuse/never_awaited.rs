//! A step that is built and not awaited.
#![deny(unused_must_use)]
use awaitly_core::{Run, RunError};

async fn checkout(run: &Run) {
    run.step("charge", || async { Ok::<_, RunError>(1) });
}

fn main() {}

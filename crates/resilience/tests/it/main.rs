//! The policies, as a program meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod adaptive_throttle;
mod auth_refresh;
mod cache;
mod circuit_breaker;
mod combined_limiter;
mod concurrency_limiter;
mod cost;
mod fallback;
mod hedge;
mod keyed;
mod policy;
mod rate_limiter;
mod single_flight;
#[cfg(feature = "tower")]
mod tower;
mod waiters;

use awaitly_core::clock::VirtualClock;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
struct ApiError(&'static str);

async fn ok() -> Result<u32, ApiError> {
    Ok(7)
}

async fn fails() -> Result<u32, ApiError> {
    Err(ApiError("down"))
}

/// Lets every task go on as far as it can without time passing.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Moves the clock on from sleeper to sleeper until `done`.
async fn run_out(clock: &VirtualClock, mut done: impl FnMut() -> bool) {
    loop {
        settle().await;
        if done() {
            return;
        }
        assert!(clock.advance_to_next().is_some(), "nobody sleeps, and it is not done");
    }
}

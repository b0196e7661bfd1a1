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

use std::future::{Future, pending};
use std::pin::Pin;

use awaitly_core::clock::VirtualClock;
use futures_util::poll;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
struct ApiError(&'static str);

async fn ok() -> Result<u32, ApiError> {
    Ok(7)
}

async fn fails() -> Result<u32, ApiError> {
    Err(ApiError("down"))
}

async fn hangs() -> Result<u32, ApiError> {
    pending().await
}

/// Begins a call, which does not end at once.
async fn begun<F: Future>(call: F) -> Pin<Box<F>> {
    let mut call = Box::pin(call);
    wait(std::slice::from_mut(&mut call)).await;
    call
}

/// Begins that many calls, none of which ends at once.
async fn all_begun<F: Future>(calls: usize, call: impl Fn() -> F) -> Vec<Pin<Box<F>>> {
    let mut calls: Vec<_> = (0..calls).map(|_| Box::pin(call())).collect();
    wait(&mut calls).await;
    calls
}

/// Polls the calls, none of which ends.
async fn wait<F: Future>(calls: &mut [Pin<Box<F>>]) {
    for call in calls {
        assert!(poll!(call).is_pending());
    }
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

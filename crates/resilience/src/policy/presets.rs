//! The policies that many programs need, with the numbers of the TypeScript library awaitly.

use std::time::Duration;

use awaitly_core::retry::Jitter;

use super::{Growth, Policy};

const fn retry(attempts: u32, delay_ms: u64, max_delay_ms: u64) -> Policy {
    Policy::new()
        .attempts(attempts)
        .growth(Growth::Exponential)
        .delay(Duration::from_millis(delay_ms))
        .max_delay(Duration::from_millis(max_delay_ms))
        .jitter(Jitter::Full)
}

const fn within(ms: u64) -> Policy {
    Policy::new().timeout(Duration::from_millis(ms))
}

/// One attempt.
#[must_use]
pub const fn no_retry() -> Policy {
    Policy::new().attempts(1)
}

/// For failures that pass at once: 3 attempts, after 100 ms and twice that, at most 1 s.
#[must_use]
pub const fn transient() -> Policy {
    retry(3, 100, 1_000)
}

/// 3 attempts, after 200 ms and twice that, at most 5 s.
#[must_use]
pub const fn standard() -> Policy {
    retry(3, 200, 5_000)
}

/// For work that has to get done: 5 attempts, after 500 ms and twice as much each time, at most 30 s.
#[must_use]
pub const fn aggressive() -> Policy {
    retry(5, 500, 30_000)
}

/// So many attempts, the same delay between them, without jitter.
///
/// # Panics
/// Where `attempts` is 0.
#[must_use]
pub const fn fixed(attempts: u32, delay: Duration) -> Policy {
    Policy::new().attempts(attempts).growth(Growth::Fixed).delay(delay).jitter(Jitter::None)
}

/// So many attempts, and a delay that grows by the same each time.
///
/// # Panics
/// Where `attempts` is 0.
#[must_use]
pub const fn linear(attempts: u32, delay: Duration) -> Policy {
    Policy::new().attempts(attempts).growth(Growth::Linear).delay(delay).jitter(Jitter::Full)
}

/// At most 1 s for each attempt, and one attempt: like the other presets that begin with `within` it says nothing of a
/// retry, so merge it with one that does.
#[must_use]
pub const fn within_fast() -> Policy {
    within(1_000)
}

/// At most 5 s for each attempt.
#[must_use]
pub const fn within_api() -> Policy {
    within(5_000)
}

/// At most 30 s for each attempt.
#[must_use]
pub const fn within_extended() -> Policy {
    within(30_000)
}

/// At most 2 minutes for each attempt.
#[must_use]
pub const fn within_long() -> Policy {
    within(120_000)
}

/// An HTTP API: [`standard`], 5 s for each attempt.
#[must_use]
pub const fn http_api() -> Policy {
    standard().merge(&within_api())
}

/// A database: 2 attempts, after 100 ms, at most 2 s; 30 s for each.
#[must_use]
pub const fn database() -> Policy {
    retry(2, 100, 2_000).merge(&within_extended())
}

/// A cache: one attempt of 1 s.
#[must_use]
pub const fn cache() -> Policy {
    no_retry().merge(&within_fast())
}

/// A message queue: [`aggressive`], 30 s for each attempt.
#[must_use]
pub const fn message_queue() -> Policy {
    aggressive().merge(&within_extended())
}

/// A file system: [`standard`], 2 minutes for each attempt.
#[must_use]
pub const fn file_system() -> Policy {
    standard().merge(&within_long())
}

/// An API with a rate limit: 5 attempts, 1 s more between them each time, at most 10 s; 10 s for each.
#[must_use]
pub const fn rate_limited() -> Policy {
    linear(5, Duration::from_secs(1)).max_delay(Duration::from_secs(10)).merge(&within(10_000))
}

/// The API Orchestrator for TypeScript, as its first example sets it: 2 retries with exponential backoff and jitter, 5 s
/// for each attempt. Its delays have no stated default; these are ours.
#[must_use]
pub const fn api_orchestrator() -> Policy {
    Policy::new().attempts(3).growth(Growth::Exponential).jitter(Jitter::Full).merge(&within_api())
}

/// The npm package `orchestrator`: it retries nothing and limits nothing until it is told to.
#[must_use]
pub const fn orchestrator() -> Policy {
    Policy::new()
}

/// PipeWeave: a delay grows up to a day. Its number of attempts is set for each task; this is our default.
#[must_use]
pub const fn pipeweave() -> Policy {
    Policy::new().growth(Growth::Exponential).max_delay(Duration::from_secs(24 * 3600))
}

/// The Workflow Orchestrator for Elide, as its retry policy is documented: 5 attempts, after 1, 2, 4 and 8 s, at most
/// 30 s, without jitter.
#[must_use]
pub const fn workflow_orchestrator() -> Policy {
    retry(5, 1_000, 30_000).jitter(Jitter::None)
}

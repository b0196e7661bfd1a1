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

/// Makes one attempt.
#[must_use]
pub const fn no_retry() -> Policy {
    Policy::new().attempts(1)
}

/// Retries failures that pass at once: 3 attempts, with delays of 100 ms and twice that, at most 1 s.
#[must_use]
pub const fn transient() -> Policy {
    retry(3, 100, 1_000)
}

/// Makes 3 attempts, with delays of 200 ms and twice that, at most 5 s.
#[must_use]
pub const fn standard() -> Policy {
    retry(3, 200, 5_000)
}

/// Retries work that has to get done: 5 attempts, with a first delay of 500 ms that doubles each time, at most 30 s.
#[must_use]
pub const fn aggressive() -> Policy {
    retry(5, 500, 30_000)
}

/// Makes this many attempts with a constant delay between them, without jitter.
///
/// # Panics
/// Panics if `attempts` is 0.
#[must_use]
pub const fn fixed(attempts: u32, delay: Duration) -> Policy {
    Policy::new().attempts(attempts).growth(Growth::Fixed).delay(delay).jitter(Jitter::None)
}

/// Makes this many attempts with a delay that grows by `delay` each time.
///
/// # Panics
/// Panics if `attempts` is 0.
#[must_use]
pub const fn linear(attempts: u32, delay: Duration) -> Policy {
    Policy::new().attempts(attempts).growth(Growth::Linear).delay(delay).jitter(Jitter::Full)
}

/// Limits each attempt to 1 s, and makes one attempt. Like the other presets that begin with `within`, it sets no
/// retry: merge it with a preset that does.
#[must_use]
pub const fn within_fast() -> Policy {
    within(1_000)
}

/// Limits each attempt to 5 s.
#[must_use]
pub const fn within_api() -> Policy {
    within(5_000)
}

/// Limits each attempt to 30 s.
#[must_use]
pub const fn within_extended() -> Policy {
    within(30_000)
}

/// Limits each attempt to 2 minutes.
#[must_use]
pub const fn within_long() -> Policy {
    within(120_000)
}

/// Suits an HTTP API: [`standard`], and 5 s for each attempt.
#[must_use]
pub const fn http_api() -> Policy {
    standard().merge(&within_api())
}

/// Suits a database: 2 attempts with a delay of 100 ms, at most 2 s, and 30 s for each attempt.
#[must_use]
pub const fn database() -> Policy {
    retry(2, 100, 2_000).merge(&within_extended())
}

/// Suits a cache: one attempt of 1 s.
#[must_use]
pub const fn cache() -> Policy {
    no_retry().merge(&within_fast())
}

/// Suits a message queue: [`aggressive`], and 30 s for each attempt.
#[must_use]
pub const fn message_queue() -> Policy {
    aggressive().merge(&within_extended())
}

/// Suits a file system: [`standard`], and 2 minutes for each attempt.
#[must_use]
pub const fn file_system() -> Policy {
    standard().merge(&within_long())
}

/// Suits an API with a rate limit: 5 attempts with delays that grow by 1 s each time, at most 10 s, and 10 s for each
/// attempt.
#[must_use]
pub const fn rate_limited() -> Policy {
    linear(5, Duration::from_secs(1)).max_delay(Duration::from_secs(10)).merge(&within(10_000))
}

/// Matches the first example of the API Orchestrator for TypeScript: 2 retries with exponential backoff and jitter, and
/// 5 s for each attempt. The API Orchestrator documents no default delays; these are ours.
#[must_use]
pub const fn api_orchestrator() -> Policy {
    Policy::new().attempts(3).growth(Growth::Exponential).jitter(Jitter::Full).merge(&within_api())
}

/// Matches the npm package `orchestrator`, which retries and limits nothing unless it is configured.
#[must_use]
pub const fn orchestrator() -> Policy {
    Policy::new()
}

/// Matches PipeWeave, which lets a delay grow up to a day. PipeWeave sets the number of attempts for each task; this
/// number is our default.
#[must_use]
pub const fn pipeweave() -> Policy {
    Policy::new().growth(Growth::Exponential).max_delay(Duration::from_secs(24 * 3600))
}

/// Matches the documented retry policy of the Workflow Orchestrator for Elide: 5 attempts, with delays of 1, 2, 4 and 8
/// s, at most 30 s, without jitter.
#[must_use]
pub const fn workflow_orchestrator() -> Policy {
    retry(5, 1_000, 30_000).jitter(Jitter::None)
}

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
pub const NO_RETRY: Policy = Policy::new().attempts(1);

/// For failures that last only a moment: 3 attempts, with delays of 100 ms and 200 ms before full jitter, and a longest
/// delay of 1 s.
pub const TRANSIENT: Policy = retry(3, 100, 1_000);

/// 3 attempts, with delays of 200 ms and 400 ms before full jitter, and a longest delay of 5 s.
pub const STANDARD: Policy = retry(3, 200, 5_000);

/// For work that has to succeed: 5 attempts, with a first delay of 500 ms that doubles each time, full jitter, and a
/// longest delay of 30 s.
pub const AGGRESSIVE: Policy = retry(5, 500, 30_000);

/// Creates a policy of this many attempts with a constant delay between them, without jitter. The policy shortens a
/// delay above 30 seconds to 30 seconds, unless [`max_delay`](Policy::max_delay) sets another limit.
///
/// # Panics
/// Panics if `attempts` is 0.
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::policy::{self, Policy};
///
/// const POLL: Policy = policy::fixed(20, Duration::from_millis(500));
/// # let _ = POLL;
/// ```
#[must_use]
pub const fn fixed(attempts: u32, delay: Duration) -> Policy {
    Policy::new().attempts(attempts).growth(Growth::Fixed).delay(delay).jitter(Jitter::None)
}

/// Creates a policy of this many attempts with a delay that grows by `delay` each time, with full jitter. The longest
/// delay is 30 seconds, unless [`max_delay`](Policy::max_delay) sets another limit.
///
/// # Panics
/// Panics if `attempts` is 0.
///
/// ```
/// use std::time::Duration;
/// use awaitly_resilience::policy;
///
/// let polite = policy::linear(5, Duration::from_secs(1)).max_delay(Duration::from_secs(3));
/// assert_eq!(polite.to_retry().max_attempts(), 5);
/// ```
#[must_use]
pub const fn linear(attempts: u32, delay: Duration) -> Policy {
    Policy::new().attempts(attempts).growth(Growth::Linear).delay(delay).jitter(Jitter::Full)
}

/// A limit of 1 s for each attempt. Like the other presets that begin with `WITHIN`, it sets no retry: merge it with a
/// preset that does.
pub const WITHIN_FAST: Policy = within(1_000);

/// A limit of 5 s for each attempt.
pub const WITHIN_API: Policy = within(5_000);

/// A limit of 30 s for each attempt.
pub const WITHIN_EXTENDED: Policy = within(30_000);

/// A limit of 2 minutes for each attempt.
pub const WITHIN_LONG: Policy = within(120_000);

/// For an HTTP API: [`STANDARD`], and 5 s for each attempt.
pub const HTTP_API: Policy = STANDARD.merge(&WITHIN_API);

/// For a database: 2 attempts with a delay of 100 ms before full jitter, a longest delay of 2 s, and 30 s for each
/// attempt.
pub const DATABASE: Policy = retry(2, 100, 2_000).merge(&WITHIN_EXTENDED);

/// For a cache: one attempt of 1 s.
pub const CACHE: Policy = NO_RETRY.merge(&WITHIN_FAST);

/// For a message queue: [`AGGRESSIVE`], and 30 s for each attempt.
pub const MESSAGE_QUEUE: Policy = AGGRESSIVE.merge(&WITHIN_EXTENDED);

/// For a file system: [`STANDARD`], and 2 minutes for each attempt.
pub const FILE_SYSTEM: Policy = STANDARD.merge(&WITHIN_LONG);

/// For an API with a rate limit: 5 attempts with delays that grow by 1 s each time, full jitter, a longest delay of 10
/// s, and 10 s for each attempt.
pub const RATE_LIMITED: Policy =
    linear(5, Duration::from_secs(1)).max_delay(Duration::from_secs(10)).merge(&within(10_000));

/// The first example of the API Orchestrator for TypeScript: 2 retries with exponential backoff and jitter, and
/// 5 s for each attempt. The API Orchestrator documents no default delays; these are ours.
pub const API_ORCHESTRATOR: Policy =
    Policy::new().attempts(3).growth(Growth::Exponential).jitter(Jitter::Full).merge(&WITHIN_API);

/// The npm package `orchestrator`, which retries and limits nothing unless it is configured.
pub const ORCHESTRATOR: Policy = Policy::new();

/// PipeWeave, which lets a delay grow up to a day. PipeWeave sets the number of attempts for each task; this policy has
/// our default, 3 attempts.
pub const PIPEWEAVE: Policy =
    Policy::new().growth(Growth::Exponential).max_delay(Duration::from_secs(24 * 3600));

/// The documented retry policy of the Workflow Orchestrator for Elide: 5 attempts, with delays of 1, 2, 4 and 8
/// s, at most 30 s, without jitter.
pub const WORKFLOW_ORCHESTRATOR: Policy = retry(5, 1_000, 30_000).jitter(Jitter::None);

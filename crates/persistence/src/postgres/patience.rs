//! The time for which a call keeps trying.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::Error;
use tokio::time::Instant;

/// The minimum time for one attempt, however little is left.
const LEAST: Duration = Duration::from_secs(1);

/// The time for which a call keeps trying. It counts from the call; the parts of the call and its queues share it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    until: Instant,
    /// The end of an attempt that reads or writes a lot.
    at_length: Instant,
    longest: Duration,
}

impl Patience {
    pub(super) fn new(patience: Duration) -> Self {
        let began = Instant::now();
        Self {
            until: began + patience,
            at_length: began + patience.max(Duration::from_secs(30)),
            longest: (patience / 3).max(LEAST),
        }
    }

    /// Returns the maximum time for one attempt, which leaves time for another one.
    pub(super) fn longest(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        self.longest.min(left.max(LEAST))
    }

    /// Returns the maximum time for an attempt that reads or writes a lot: a large journal or many runs.
    pub(super) fn longest_at_length(&self) -> Duration {
        self.at_length.saturating_duration_since(Instant::now()).max(LEAST)
    }

    /// Returns `true` if an attempt after this pause is too late.
    pub(super) fn is_over_after(&self, pause: Pause) -> bool {
        Instant::now() + pause.0 > self.until
    }
}

/// The time between two attempts, which grows with each attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) const fn new() -> Self {
        Self(Duration::from_millis(10))
    }

    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_millis(500));
    }
}

/// Waits at most that long for `answer`, because a silent connection never answers.
pub(super) async fn within<T, F: From<Error>>(
    longest: Duration,
    answer: impl Future<Output = Result<T, F>>,
) -> Result<T, F> {
    let answered = tokio::time::timeout(longest, answer).await;
    answered.unwrap_or_else(|_| Err(Error::Io(ErrorKind::TimedOut.into()).into()))
}

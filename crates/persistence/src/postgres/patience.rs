//! How long one call goes on trying.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::Error;
use tokio::time::Instant;

/// The least time for one try, however little is left.
const LEAST: Duration = Duration::from_secs(1);

/// How long one call goes on trying. The time counts from the call; its parts, and the queues that it waits in, share it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    until: Instant,
    /// The end of a try that reads or writes much.
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

    /// How long one try may take, so that there is time for another one.
    pub(super) fn longest(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        self.longest.min(left.max(LEAST))
    }

    /// How long a try may take that reads or writes much: a large journal, many runs.
    pub(super) fn longest_at_length(&self) -> Duration {
        self.at_length.saturating_duration_since(Instant::now()).max(LEAST)
    }

    /// Whether another try is too late, once this pause is over.
    pub(super) fn is_over_after(&self, pause: Pause) -> bool {
        Instant::now() + pause.0 > self.until
    }
}

/// The time between two tries, longer each time.
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

/// Waits that long for `answer`, since a connection that has gone silent never answers.
pub(super) async fn within<T, F: From<Error>>(
    longest: Duration,
    answer: impl Future<Output = Result<T, F>>,
) -> Result<T, F> {
    let answered = tokio::time::timeout(longest, answer).await;
    answered.unwrap_or_else(|_| Err(Error::Io(ErrorKind::TimedOut.into()).into()))
}

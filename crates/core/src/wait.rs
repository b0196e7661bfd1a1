//! Waiting inside of a run.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, later};
use crate::error::{Limit, RunError};
use crate::journal::Key;
use crate::run::Shared;

/// The recorded moment at which a durable sleep ends, in milliseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Waking {
    until_ms: u64,
}

impl Waking {
    pub(crate) fn after(clock: &dyn Clock, duration: Duration) -> Self {
        let now = clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let until = now.saturating_add(duration);
        Self { until_ms: until.as_millis().try_into().unwrap_or(u64::MAX) }
    }

    /// How long it is until then.
    pub(crate) fn left(self, clock: &dyn Clock) -> Duration {
        let now = clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Duration::from_millis(self.until_ms).saturating_sub(now)
    }
}

/// Waits for `duration`, or until the run is cancelled or out of time. `step` is what waits.
pub(crate) async fn sleep(
    run: Option<&Shared>,
    clock: &dyn Clock,
    step: Key,
    duration: Duration,
) -> Result<(), RunError> {
    let until = later(clock.now(), duration);
    let deadline = run.and_then(Shared::deadline).filter(|(at, _)| *at < until);
    let mut sleep = clock.sleep_until(deadline.map_or(until, |(at, _)| at));
    let mut cancelled = run.and_then(Shared::token).map(|token| Box::pin(token.clone().cancelled_owned()));
    let was_cancelled = poll_fn(|cx| {
        if cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(true);
        }
        sleep.as_mut().poll(cx).map(|()| false)
    })
    .await;
    let error = match deadline {
        _ if was_cancelled => RunError::Cancelled { step: Some(step) },
        Some((_, after)) => RunError::Timeout { step, attempt: 1, after, limit: Limit::Run },
        None => return Ok(()),
    };
    if let Some(run) = run {
        run.note_run_error(&error);
    }
    Err(error)
}

//! Waiting inside of a run.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, later};
use crate::error::{Limit, RunError};
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

    pub(crate) fn at(self) -> SystemTime {
        const FAR: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.until_ms).min(FAR)
    }
}

/// Waits for `duration`, or until the run is cancelled or out of time.
pub(crate) async fn sleep(
    run: Option<&Shared>,
    clock: &dyn Clock,
    duration: Duration,
) -> Result<(), RunError> {
    let token = run.and_then(Shared::token).cloned();
    let deadline = run.and_then(Shared::deadline);
    let until = later(clock.now(), duration);
    let in_time = deadline.is_none_or(|(at, _)| until <= at);
    let mut sleep = clock.sleep_until(if in_time { until } else { deadline.map_or(until, |(at, _)| at) });
    let mut cancelled = token.map(|token| Box::pin(token.cancelled_owned()));
    let was_cancelled = poll_fn(|cx| {
        if cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(true);
        }
        sleep.as_mut().poll(cx).map(|()| false)
    })
    .await;
    let error = match deadline {
        _ if was_cancelled => RunError::Cancelled { step: None },
        Some((_, after)) if !in_time => {
            RunError::Timeout { step: "sleep".into(), attempt: 1, after, limit: Limit::Run }
        }
        _ => return Ok(()),
    };
    if let Some(run) = run {
        run.note_run_error(&error);
    }
    Err(error)
}

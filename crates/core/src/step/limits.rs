use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::clock::{Clock, Sleep};
use crate::error::Limit;

/// The limits that can end an attempt, or the delay before the next one, from outside: time and cancellation.
///
/// They are set up when the attempt has to wait for the first time, so an attempt that ends at once has no cost.
#[derive(Default)]
pub(super) struct Limits {
    timer: Option<(Sleep, Bound)>,
    cancelled: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// A moment and its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) at: Instant,
    meaning: Passed,
}

/// The event that a wait for limits has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// The delay before the next attempt is over.
    Delay,
    /// A limit of time passed.
    Timeout(Limit, Duration),
    /// The run was cancelled.
    Cancelled,
}

impl Bound {
    pub(super) const fn limit(at: Instant, after: Duration, limit: Limit) -> Self {
        Self { at, meaning: Passed::Timeout(limit, after) }
    }

    pub(super) const fn delay(at: Instant) -> Self {
        Self { at, meaning: Passed::Delay }
    }
}

impl Limits {
    /// Drops the timer of the last attempt.
    pub(super) fn rearm(&mut self) {
        self.timer = None;
    }

    /// Waits for `bound` and for `token`. The first call after a [`rearm`](Self::rearm) creates the timer.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        clock: &dyn Clock,
        bound: impl FnOnce() -> Option<Bound>,
        token: Option<&CancellationToken>,
    ) -> Poll<Passed> {
        if let Some(token) = token {
            let cancelled = self.cancelled.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
            if cancelled.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Passed::Cancelled);
            }
        }
        if self.timer.is_none() {
            self.timer = bound().map(|bound| (clock.sleep_until(bound.at), bound));
        }
        match &mut self.timer {
            Some((sleep, bound)) => sleep.as_mut().poll(cx).map(|()| bound.meaning),
            None => Poll::Pending,
        }
    }
}

/// Returns the earliest of several bounds.
pub(super) fn nearest(bounds: impl IntoIterator<Item = Option<Bound>>) -> Option<Bound> {
    bounds.into_iter().flatten().min_by_key(|bound| bound.at)
}

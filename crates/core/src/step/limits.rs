use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::clock::{Clock, Sleep};
use crate::error::Limit;

/// What can end an attempt, or the delay before the next, from outside: time and cancellation.
///
/// Nothing is set up until the attempt has to wait, so an attempt that is done at once pays nothing.
#[derive(Default)]
pub(super) struct Limits {
    timer: Option<(Sleep, Bound)>,
    cancelled: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// A moment and what it means when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) at: Instant,
    pub(super) after: Duration,
    pub(super) limit: Option<Limit>,
}

/// What ended the wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The delay before the next attempt is over.
    Delay,
    /// A limit of time passed.
    Timeout(Limit, Duration),
    /// The run was cancelled.
    Cancelled,
}

impl Limits {
    /// Forgets the timer of the last attempt.
    pub(super) fn rearm(&mut self) {
        self.timer = None;
    }

    /// Waits for `bound` and for `token`. The timer is made at the first call after a
    /// [`rearm`](Self::rearm).
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        clock: &dyn Clock,
        bound: impl FnOnce() -> Option<Bound>,
        token: Option<&CancellationToken>,
    ) -> Poll<Ended> {
        if let Some(token) = token {
            let cancelled = self
                .cancelled
                .get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
            if cancelled.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ended::Cancelled);
            }
        }
        if self.timer.is_none() {
            self.timer = bound().map(|bound| (clock.sleep_until(bound.at), bound));
        }
        if let Some((sleep, bound)) = &mut self.timer
            && sleep.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(match bound.limit {
                Some(limit) => Ended::Timeout(limit, bound.after),
                None => Ended::Delay,
            });
        }
        Poll::Pending
    }
}

/// The nearest of some bounds.
pub(super) fn nearest(bounds: impl IntoIterator<Item = Option<Bound>>) -> Option<Bound> {
    bounds.into_iter().flatten().min_by_key(|bound| bound.at)
}

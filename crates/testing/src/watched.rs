use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use awaitly_core::clock::days;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

/// A year and a month: longer than most schedules, and short enough that a lease of some seconds can be renewed
/// throughout.
pub(crate) const TIME_LIMIT: Duration = days(400);

thread_local! {
    /// The number of times that the test on this thread made progress.
    static PROGRESS: Cell<u64> = const { Cell::new(0) };
}

/// Records that the test on this thread made progress, which restarts the limit of its [`Watched`] future. Operations
/// that pass much virtual time and end, such as a harness run, call it.
pub(crate) fn progress() {
    PROGRESS.set(PROGRESS.get().wrapping_add(1));
}

pin_project! {
    /// A future in paused time that must end, or [make progress](progress), within a limit. Because time jumps to the
    /// next timer, a future that exceeds the limit waits for an event that never comes.
    ///
    /// # Panics
    /// Panics when polled after the limit.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Watched<Fut> {
        #[pin]
        inner: Fut,
        time_limit: Duration,
        progress: u64,
        #[pin]
        nothing_more: Sleep,
    }
}

impl<Fut> Watched<Fut> {
    /// Starts to watch `inner`.
    pub(crate) fn new(inner: Fut, time_limit: Duration) -> Self {
        let nothing_more = tokio::time::sleep(time_limit);
        Self { inner, time_limit, progress: PROGRESS.get(), nothing_more }
    }
}

impl<Fut: Future> Future for Watched<Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.inner.poll(cx) {
            return Poll::Ready(output);
        }
        let progress = PROGRESS.get();
        if *this.progress != progress
            && let Some(until) = Instant::now().checked_add(*this.time_limit)
        {
            *this.progress = progress;
            this.nothing_more.as_mut().reset(until);
        }
        assert!(this.nothing_more.poll(cx).is_pending(), "{}", NothingMore(*this.time_limit));
        Poll::Pending
    }
}

/// The panic message for a stuck test.
struct NothingMore(Duration);

impl fmt::Display for NothingMore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "nothing can happen any more: every task waits, and the test has not ended after {:?} of virtual time; look \
             for a task that waits for an event that never comes, or give it a timeout; if the test needs more time, \
             set it with `Simulation::time_limit` and `Harness::time_limit`",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn twice_three_hundred_days(then: impl Fn()) {
        for _ in 0..2 {
            tokio::time::sleep(days(300)).await;
            then();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_restarts_the_limit() {
        Watched::new(twice_three_hundred_days(progress), TIME_LIMIT).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "nothing can happen any more")]
    async fn future_without_progress_panics_at_the_limit() {
        Watched::new(twice_three_hundred_days(|| ()), TIME_LIMIT).await;
    }
}

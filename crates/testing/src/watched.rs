use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use awaitly_core::clock::days;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

/// A year, and some time beside it: long enough for what people schedule, and short enough for a lease of some seconds
/// to be renewed all the while.
pub(crate) const LONGEST: Duration = days(400);

thread_local! {
    /// How often the test on this thread has come further.
    static PROGRESS: Cell<u64> = const { Cell::new(0) };
}

/// The test on this thread has come further, so that what watches it begins to count anew: for what lets much time pass
/// again and again, and ends each time.
pub(crate) fn progress() {
    PROGRESS.set(PROGRESS.get().wrapping_add(1));
}

pin_project! {
    /// A future in paused time that must end, or [come further](progress), within some time. As time jumps to the next
    /// moment for which something waits, one that does not waits for something that never happens.
    ///
    /// # Panics
    /// Where that time has passed.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Watched<Fut> {
        #[pin]
        inner: Fut,
        longest: Duration,
        progress: u64,
        #[pin]
        nothing_more: Sleep,
    }
}

impl<Fut> Watched<Fut> {
    /// Watches `inner`, from now on.
    pub(crate) fn new(inner: Fut, longest: Duration) -> Self {
        let nothing_more = tokio::time::sleep(longest);
        Self { inner, longest, progress: PROGRESS.get(), nothing_more }
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
            && let Some(until) = Instant::now().checked_add(*this.longest)
        {
            *this.progress = progress;
            this.nothing_more.as_mut().reset(until);
        }
        assert!(this.nothing_more.poll(cx).is_pending(), "{}", NothingMore(*this.longest));
        Poll::Pending
    }
}

/// What is said where something does not end.
struct NothingMore(Duration);

impl fmt::Display for NothingMore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "nothing can happen any more: everything waits, and after {:?} this has not ended; look for what waits for \
             something that nobody does, or give it a timeout; where it takes that long, say so with \
             `Simulation::longest` and `Harness::longest`",
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
    async fn what_comes_further_may_take_longer_in_all() {
        Watched::new(twice_three_hundred_days(progress), LONGEST).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "nothing can happen any more")]
    async fn what_does_not_come_further_may_not() {
        Watched::new(twice_three_hundred_days(|| ()), LONGEST).await;
    }
}

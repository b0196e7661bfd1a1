use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use awaitly_core::clock::days;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

/// Two hundred years.
pub(crate) const LONGEST: Duration = days(200 * 365);

pin_project! {
    /// A future in paused time that must end within some time. As time jumps to the next moment for which something
    /// waits, one that does not waits for something that never happens.
    ///
    /// # Panics
    /// Where that time has passed.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Watched<Fut> {
        #[pin]
        inner: Fut,
        longest: Duration,
        #[pin]
        nothing_more: Sleep,
    }
}

impl<Fut> Watched<Fut> {
    /// Watches `inner`, from now on.
    pub(crate) fn new(inner: Fut, longest: Duration) -> Self {
        Self { inner, longest, nothing_more: tokio::time::sleep(longest) }
    }
}

impl<Fut: Future> Future for Watched<Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.inner.poll(cx) {
            return Poll::Ready(output);
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
             something that nobody does, or give it a timeout",
            self.0
        )
    }
}

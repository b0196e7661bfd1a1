//! Polling a body by hand, until it has ended or nothing in it moves any more.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::sync::Notify;

/// How long is waited, in all, for what is none of the run's steps. Tokio's time, so none at all where that is paused.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the polling came to an end.
pub(super) enum Driven<T> {
    Ended(T),
    /// Nothing in it moves any more.
    Rests,
    /// It wakes itself, again and again.
    Spins,
}

#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Woken {
    /// Whether it was woken since it was asked last.
    fn take(&self) -> bool {
        self.0.notified().now_or_never().is_some()
    }
}

/// Polls `body` at most so many times. `is_settled` says, while nothing moves, whether there is nothing to wait for.
pub(super) async fn drive<F: Future>(
    mut body: Pin<&mut F>,
    most_polls: usize,
    is_settled: impl Fn() -> bool,
) -> Driven<F::Output> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut patience = None;
    for _ in 0..most_polls {
        if let Poll::Ready(output) = body.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Driven::Ended(output);
        }
        // Tokio's `yield_now` wakes only once the runtime has had its turn.
        tokio::task::yield_now().await;
        if woken.take() {
            continue;
        }
        if is_settled() {
            return Driven::Rests;
        }
        let patience = patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        if let Either::Right(_) = select(pin!(woken.0.notified()), patience).await {
            return Driven::Rests;
        }
    }
    Driven::Spins
}

//! Polls a body directly until it ends or stops making progress.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::sync::Notify;

/// The total time to wait for futures that are not steps of the run. It is tokio's time, so paused time skips it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The reason why the polling ended.
pub(super) enum Driven<T> {
    Ended(T),
    /// The body makes no progress.
    Rests,
    /// The body keeps waking itself.
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
    /// Returns whether the waker was called since the last query.
    fn take(&self) -> bool {
        self.0.notified().now_or_never().is_some()
    }
}

/// Polls `body` at most `most_polls` times. While the body is idle, `is_settled` returns whether further waiting is
/// pointless.
pub(super) async fn drive<F: Future>(
    mut body: Pin<&mut F>,
    most_polls: usize,
    is_settled: impl Fn() -> bool,
) -> Driven<F::Output> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut patience = None;
    // The body is polled with a private waker, so the check learns whether anything in it can still move. After each
    // poll that does not wake it, the body has reached its stopping point, or it waits for a future outside of the
    // run, such as a timer or a task, which gets a limited time to complete.
    for _ in 0..most_polls {
        if let Poll::Ready(output) = body.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Driven::Ended(output);
        }
        // Tokio's `yield_now` wakes only after the runtime had a turn, so other tasks can run in between.
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

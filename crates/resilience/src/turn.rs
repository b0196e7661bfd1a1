//! The queue in which callers of a limiter wait: first come, first served.

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::sync::atomic::{AtomicUsize, Ordering};

/// A queue in which only the first place may try. Dropping a place gives it back.
///
/// The turn passes to the next place in line, even if its task does not poll it; tokio's semaphore does so too for
/// slots and flights. To pass over a waiter that does not react, each waiter would need a timer. That makes a hand-over
/// between tasks take 1.4 times as long, needs a runtime with a timer although the queue works without one now, and
/// costs a waiter its turn if its task is only busy. So `waiters.md` documents the rule instead.
#[derive(Debug)]
pub(crate) struct Turns {
    first: Semaphore,
    waiting: AtomicUsize,
    /// Wakes the first place if its wait may end earlier than it assumed.
    sooner: Notify,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { first: Semaphore::new(1), waiting: AtomicUsize::new(0), sooner: Notify::new() }
    }

    /// Returns the number of callers in the queue.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Joins the end of the queue, and returns the place in it.
    pub(crate) fn join(&self) -> Place<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Place(self)
    }

    /// Makes the first place try again.
    pub(crate) fn sooner(&self) {
        self.sooner.notify_one();
    }
}

/// A place in the queue. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Turns);

impl Place<'_> {
    /// Waits until this place is the first, and then until `attempt` returns a value. Each failed `attempt` returns a
    /// future to wait for before the next one.
    pub(crate) async fn first<T, W: Future<Output = ()>>(
        &self,
        mut attempt: impl FnMut() -> Result<T, W>,
    ) -> T {
        let _first = self.turn().await;
        loop {
            match attempt() {
                Ok(value) => return value,
                Err(wait) => tokio::select! {
                    () = wait => {}
                    () = self.sooner() => {}
                },
            }
        }
    }

    /// Waits until this place is the first. It stays the first while the caller keeps the returned permit.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.0.first.acquire().await.ok()
    }

    /// Waits for a call of [`Turns::sooner`].
    pub(crate) async fn sooner(&self) {
        self.0.sooner.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

//! First come, first served: the queue that callers of a limiter wait in.

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::sync::atomic::{AtomicUsize, Ordering};

/// A queue of which the first alone may try. Whoever is dropped gives the place back.
///
/// The turn passes to the next in line, polled or not; tokio's semaphore does the same for slots and flights. To pass
/// over a waiter that does not react, each waiter would need a timer to look again by. That makes a hand-over between
/// tasks take 1.4 times as long, asks for a runtime with a timer where none is needed now, and costs a waiter its turn
/// when its task is only busy. So the rule is documented, in `waiters.md`.
#[derive(Debug)]
pub(crate) struct Turns {
    first: Semaphore,
    waiting: AtomicUsize,
    /// What the first one waits for may have come earlier than was thought.
    sooner: Notify,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { first: Semaphore::new(1), waiting: AtomicUsize::new(0), sooner: Notify::new() }
    }

    /// How many wait.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Joins the end of the queue. What comes back is a place in it.
    pub(crate) fn join(&self) -> Place<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Place(self)
    }

    /// Lets the first one look again.
    pub(crate) fn sooner(&self) {
        self.sooner.notify_one();
    }
}

/// A place in the queue, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Turns);

impl Place<'_> {
    /// Waits to be the first, and then for what `attempt` waits for: it is called again each time that the wait
    /// which it names is over.
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

    /// Waits to be the first, and is it for as long as what comes back is kept.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.first.acquire().await.ok()
    }

    /// Waits until somebody says that it is worth looking again.
    pub(crate) async fn sooner(&self) {
        self.0.sooner.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

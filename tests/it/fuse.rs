//! A store that stops at a chosen boundary, like a process that dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use awaitly::store::around::{Calls, Request};
use awaitly::store::{Around, Store, StoreError};
use tokio::sync::Notify;

/// Counts the boundaries of a run, and stops the run at one of them.
#[derive(Clone, Default)]
pub(crate) struct Fuse(Arc<Wire>);

#[derive(Default)]
struct Wire {
    left: AtomicI64,
    passed: AtomicI64,
    burnt: Notify,
}

impl Fuse {
    /// Sets the boundary at which the run stops. The first boundary has the number 1; with 0 the run does not stop.
    pub(crate) fn set(&self, boundary: i64) {
        self.0.left.store(boundary, Ordering::Relaxed);
        self.0.passed.store(0, Ordering::Relaxed);
    }

    /// Returns the number of boundaries passed since [`set`](Self::set).
    pub(crate) fn passed(&self) -> i64 {
        self.0.passed.load(Ordering::Relaxed)
    }

    /// Passes a boundary, or never returns if the run stops here.
    pub(crate) async fn pass(&self) {
        self.0.passed.fetch_add(1, Ordering::Relaxed);
        if self.0.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.burnt.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Returns the result of `run`, or `None` if it stopped at the boundary.
    pub(crate) async fn watch<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.burnt.notified() => None,
            ended = run => Some(ended),
        }
    }
}

/// A store with a boundary before and after each write of a run.
#[derive(Clone)]
pub(crate) struct Fused<S>(pub(crate) S, pub(crate) Fuse);

impl<S: Store> Around for Fused<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.0
    }

    async fn around<R: Request<S>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if !Calls::WRITES.include(R::CALL, None, None) {
            return request.send(&self.0).await;
        }
        self.1.pass().await;
        let answer = request.send(&self.0).await;
        self.1.pass().await;
        answer
    }
}

//! One execution of a run: the boundaries that it passes, and the accidents that happen there.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use awaitly::store::{Cancelled, Lease, RunId, StoreError};
use tokio_util::sync::CancellationToken;

use crate::case::Kind;
use crate::place::Place;

/// Clones are the same life.
#[derive(Clone)]
pub(crate) struct Life(Arc<Inner>);

struct Inner {
    /// At which boundary each accident of this execution happens.
    accidents: Vec<(u16, Kind)>,
    passed: AtomicU32,
    is_dead: AtomicBool,
    /// Another worker executes the run.
    is_replaced: AtomicBool,
    /// The store fails at its next boundary.
    is_failing: AtomicBool,
    run: RunId,
    place: Place,
    token: CancellationToken,
    notes: Mutex<Notes>,
}

/// The observations of a life.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) leases: Vec<Lease>,
    /// The action of another worker that is due now.
    pub(crate) rival: Option<Kind>,
    /// Whether a store call failed, or its answer was lost.
    pub(crate) store_failed: bool,
    /// The result of a cancellation.
    pub(crate) cancelled: Option<Cancelled>,
    pub(crate) token_cancelled: bool,
}

impl Life {
    pub(crate) fn new(accidents: Vec<(u16, Kind)>, run: RunId, place: Place) -> Self {
        Self(Arc::new(Inner {
            accidents,
            passed: AtomicU32::new(0),
            is_dead: AtomicBool::new(false),
            is_replaced: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            run,
            place,
            token: CancellationToken::new(),
            notes: Mutex::default(),
        }))
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0.place
    }

    pub(crate) fn token(&self) -> CancellationToken {
        self.0.token.clone()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.is_dead.load(Ordering::Relaxed)
    }

    /// From now on another worker executes the run, and this one does not know.
    pub(crate) fn replace(&self) {
        self.0.is_replaced.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_replaced(&self) -> bool {
        self.0.is_replaced.load(Ordering::Relaxed)
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a boundary of the body: an effect, or a moment at which an operation waits.
    pub(crate) async fn pass(&self) {
        // Only a boundary of the store fails.
        let _ = self.cross(false).await;
    }

    /// Passes a boundary. Stays pending if the process dies there.
    pub(crate) async fn cross(&self, of_store: bool) -> Result<(), StoreError> {
        if self.is_dead() {
            return pending().await;
        }
        let passed = self.0.passed.fetch_add(1, Ordering::Relaxed) + 1;
        for (_, kind) in self.0.accidents.iter().filter(|(at, _)| u32::from(*at) == passed) {
            self.meet(*kind).await;
        }
        if of_store && self.0.is_failing.swap(false, Ordering::Relaxed) {
            self.notes().store_failed = true;
            return Err(StoreError::Unavailable { detail: "an accident".into() });
        }
        Ok(())
    }

    async fn meet(&self, kind: Kind) {
        match kind {
            Kind::Death => {
                self.0.is_dead.store(true, Ordering::Relaxed);
                pending().await
            }
            Kind::StoreFails => self.0.is_failing.store(true, Ordering::Relaxed),
            Kind::Cancel => {
                if let Ok(cancelled) = self.0.place.cancel(&self.0.run).await {
                    self.notes().cancelled = Some(cancelled);
                }
            }
            Kind::Token => {
                self.notes().token_cancelled = true;
                self.0.token.cancel();
            }
            Kind::Rival | Kind::Freeze => {
                self.notes().rival = Some(kind);
                once().await;
            }
            // These do not happen at a boundary.
            Kind::Undo | Kind::Deadline(_) | Kind::Rename(_) | Kind::Again | Kind::Early | Kind::Double => {}
        }
    }
}

/// Lets the driver of the execution look.
pub(crate) async fn once() {
    let mut is_first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut is_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

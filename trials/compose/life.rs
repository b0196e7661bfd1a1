//! One execution of a run: the boundaries that it passes, and the accidents that happen there.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use awaitly::store::{Cancelled, Lease, RunId, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::case::Kind;
use crate::place::Place;
use crate::post::Post;
use crate::promise::Broken;

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
    /// The messages that an accident sends.
    post: Option<Arc<Post>>,
    /// Whether every task of the process stands still, while another worker works.
    is_frozen: AtomicBool,
    thawed: Notify,
    /// The driver has something to see.
    sight: Notify,
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
    /// Whether a request to cancel the run was taken.
    pub(crate) was_cancelled: bool,
    pub(crate) token_cancelled: bool,
    pub(crate) broken: Option<Broken>,
}

impl Life {
    pub(crate) fn new(
        accidents: Vec<(u16, Kind)>,
        run: RunId,
        place: Place,
        post: Option<Arc<Post>>,
    ) -> Self {
        Self(Arc::new(Inner {
            accidents,
            passed: AtomicU32::new(0),
            is_dead: AtomicBool::new(false),
            is_replaced: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            run,
            place,
            token: CancellationToken::new(),
            post,
            is_frozen: AtomicBool::new(false),
            thawed: Notify::new(),
            sight: Notify::new(),
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

    /// Lets the process go on after the work of another worker.
    pub(crate) fn thaw(&self) {
        self.0.is_frozen.store(false, Ordering::Relaxed);
        self.0.thawed.notify_waiters();
    }

    /// Waits until the process has died, or another worker is due.
    pub(crate) async fn sight(&self) {
        self.0.sight.notified().await;
    }

    /// Waits while the process is frozen. A dead process waits for ever, and a replaced one has lost the store.
    pub(crate) async fn stand(&self) -> Result<(), StoreError> {
        if self.is_dead() {
            return pending().await;
        }
        while self.0.is_frozen.load(Ordering::Relaxed) {
            let thawed = self.0.thawed.notified();
            thawed.await;
        }
        if self.is_replaced() { Err(unavailable()) } else { Ok(()) }
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
        // Whether the process was replaced matters to claims only.
        let _ = self.stand().await;
        let passed = self.0.passed.fetch_add(1, Ordering::Relaxed) + 1;
        for (_, kind) in self.0.accidents.iter().filter(|(at, _)| u32::from(*at) == passed) {
            self.meet(*kind).await;
        }
        if of_store && self.0.is_failing.swap(false, Ordering::Relaxed) {
            self.notes().store_failed = true;
            return Err(unavailable());
        }
        Ok(())
    }

    async fn meet(&self, kind: Kind) {
        match kind {
            Kind::Death => {
                self.0.is_dead.store(true, Ordering::Relaxed);
                self.0.sight.notify_one();
                pending().await
            }
            Kind::StoreFails => self.0.is_failing.store(true, Ordering::Relaxed),
            Kind::Cancel => {
                if let Ok(cancelled) = self.0.place.cancel(&self.0.run).await {
                    self.notes().was_cancelled |=
                        matches!(cancelled, Cancelled::Requested | Cancelled::WithoutUndo);
                }
            }
            Kind::Token => {
                self.notes().token_cancelled = true;
                self.0.token.cancel();
            }
            Kind::Rival | Kind::Freeze => {
                self.notes().rival = Some(kind);
                self.0.is_frozen.store(true, Ordering::Relaxed);
                self.0.sight.notify_one();
                let _ = self.stand().await;
            }
            Kind::Mail(id) => {
                if let Some(post) = &self.0.post
                    && let Err(broken) = post.send_all(&self.0.place, id).await
                {
                    self.notes().broken = Some(broken);
                }
            }
            // These do not happen at a boundary.
            Kind::Undo | Kind::Deadline(_) | Kind::Rename(_) | Kind::Again | Kind::Early | Kind::Double => {}
        }
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { detail: "an accident".into() }
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

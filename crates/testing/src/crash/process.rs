//! What a process holds of a store.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use awaitly_core::journal::Record;
use awaitly_core::store::{Lease, OnRecorded, RunId, Store};

use super::watcher::Watcher;

/// So long before the next process begins, the leases of the one before end.
const SPAN: Duration = Duration::from_millis(1);

/// How often a store is asked whether it has taken a lease back.
const GIVE_UP: usize = 1000;

/// A process on a store.
#[derive(Debug)]
pub(super) struct Process<S> {
    pub(super) store: Arc<S>,
    /// Whether the store lives by real time, and others may write to it.
    pub(super) real: bool,
    pub(super) watcher: Watcher,
    hands: Mutex<Hands>,
}

/// What a process holds.
#[derive(Debug, Default)]
pub(super) struct Hands {
    pub(super) leases: Vec<Lease>,
    /// Writes that are acknowledged but not durable.
    pub(super) unflushed: Vec<Unflushed>,
}

/// A write that the process has acknowledged, and the store has not.
#[derive(Debug)]
pub(super) enum Unflushed {
    Record(Lease, Record, OnRecorded),
    Release(Lease),
}

impl Unflushed {
    pub(super) fn run(&self) -> &RunId {
        match self {
            Self::Record(lease, ..) | Self::Release(lease) => lease.run(),
        }
    }
}

impl<S> Process<S> {
    pub(super) fn new(store: Arc<S>, real: bool, watcher: Watcher) -> Self {
        Self { store, real, watcher, hands: Mutex::default() }
    }

    pub(super) fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something of the real world, such as an answer of a real store, while time stands still.
    pub(super) async fn still<T>(&self, answer: impl Future<Output = T>) -> T {
        let _still = self.real.then(StandStill::begin);
        answer.await
    }
}

impl<S: Store> Process<S> {
    /// The process is gone: its leases end soon. Where they run by a clock that nobody can move they are given back.
    pub(super) async fn leave_leases(&self, downtime: Duration) {
        let leases = std::mem::take(&mut self.hands().leases);
        for lease in leases {
            if self.real {
                self.still(self.give_back(&lease)).await;
            } else {
                // One that was given back is not renewed.
                let _ = self.store.renew(&lease, downtime.saturating_sub(SPAN)).await;
            }
        }
    }

    /// Gives a lease back, and looks until it is: a store does that when it comes to it.
    async fn give_back(&self, lease: &Lease) {
        for _ in 0..GIVE_UP {
            self.store.release(lease);
            if self.store.renew(lease, SPAN).await.is_err() {
                break;
            }
            // By the clock of the real world.
            let _ = tokio::task::spawn_blocking(|| std::thread::sleep(SPAN)).await;
        }
    }
}

/// As long as this is there, paused time does not move on: tokio does not let it while a blocking task runs.
pub(super) struct StandStill {
    _until: mpsc::Sender<()>,
}

impl StandStill {
    pub(super) fn begin() -> Self {
        let (until, dropped) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || dropped.recv());
        Self { _until: until }
    }
}

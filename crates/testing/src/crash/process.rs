//! The resources of a process in a store: its leases and its writes that are not durable yet.

use std::future::Future;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use awaitly_core::journal::Record;
use awaitly_core::store::{Lease, OnRecorded, RunId, Store};

use super::engine::Engine;
use super::watcher::Watcher;

/// The remaining time of a dead process's leases when the next process is about to begin.
const SPAN: Duration = Duration::from_millis(1);

/// The number of times that a store is checked for a released lease.
const GIVE_UP: usize = 1000;

/// A process that uses a store.
#[derive(Debug)]
pub(super) struct Process<S> {
    pub(super) store: Arc<S>,
    /// Whether the store follows real time and may have other writers.
    pub(super) real: bool,
    pub(super) watcher: Watcher,
    held: Mutex<Held>,
    /// Set if the process uses the engine.
    pub(super) engine: OnceLock<Engine<S>>,
    /// The number of calls of the store.
    pub(super) calls: AtomicU32,
}

/// The leases and unflushed writes of a process.
#[derive(Debug, Default)]
pub(super) struct Held {
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
        let (held, engine, calls) = (Mutex::default(), OnceLock::new(), AtomicU32::new(0));
        Self { store, real, watcher, held, engine, calls }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a real-time operation, such as an answer from a real store, while paused time stands still.
    pub(super) async fn still<T>(&self, answer: impl Future<Output = T>) -> T {
        let _still = self.real.then(StandStill::begin);
        answer.await
    }
}

impl<S: Store> Process<S> {
    /// Shortens the leases of a dead process so that they expire before the next process begins. Leases of a real
    /// store follow a clock that the test cannot advance, so they are released.
    pub(super) async fn leave_leases(&self, downtime: Duration) {
        let leases = std::mem::take(&mut self.held().leases);
        for lease in leases {
            if let Some(run) = self.watcher.scope.inner_run(lease.run()) {
                self.watcher.notes.freed(&self.watcher.named(&run.to_shared()));
            }
            if self.real {
                self.still(self.give_back(&lease)).await;
            } else {
                // Renewing a released lease has no effect.
                let _ = self.store.renew(&lease, downtime.saturating_sub(SPAN)).await;
            }
        }
    }

    /// Releases a lease and waits until the store has done so, because stores release asynchronously.
    async fn give_back(&self, lease: &Lease) {
        for _ in 0..GIVE_UP {
            self.store.release(lease);
            if self.store.renew(lease, SPAN).await.is_err() {
                break;
            }
            // This sleep takes real time.
            let _ = tokio::task::spawn_blocking(|| std::thread::sleep(SPAN)).await;
        }
    }
}

/// A guard during which paused time does not advance: tokio does not advance it while a blocking task runs.
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

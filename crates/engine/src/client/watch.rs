//! The queries with which handles wait for the end of their runs.
//!
//! All handles of a client share one task, which asks the store for the headers of all their runs at once. The task
//! ends when no handle waits any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::RunError;
use awaitly_core::clock::{ms, secs};
use awaitly_core::journal::Header;
use awaitly_core::store::{Dispatch, RunId, StoreError};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The runs for whose end handles wait.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Awaited>);

#[derive(Debug, Default)]
struct Awaited {
    runs: HashMap<RunId, Vec<Waiter>>,
    /// Whether the task that asks the store is running.
    is_watched: bool,
}

type Waiter = oneshot::Sender<Result<Header, RunError>>;

/// The maximum number of runs in one query.
const MANY: usize = 1000;

/// The shortest and the longest pause between two queries. A store reports the changes of its own process. If it cannot
/// report the changes of other processes, a result may come late by the longest pause.
const SHORTEST: Duration = ms(2);
const LONGEST: Duration = secs(1);

impl Watch {
    /// Waits until the run has ended, and returns its header.
    pub(super) async fn ended<S: Dispatch + Clone>(
        self: &Arc<Self>,
        store: &S,
        run: &RunId,
    ) -> Result<Header, RunError> {
        // The task answers each waiter, unless its runtime ends.
        self.register(store, run).await.unwrap_or(Err(RunError::Store(StoreError::Closed)))
    }

    fn register<S: Dispatch + Clone>(
        self: &Arc<Self>,
        store: &S,
        run: &RunId,
    ) -> oneshot::Receiver<Result<Header, RunError>> {
        let (waiter, answer) = oneshot::channel();
        let mut awaited = self.lock();
        awaited.runs.entry(run.clone()).or_default().push(waiter);
        if !std::mem::replace(&mut awaited.is_watched, true) {
            let watching = Watching { watch: Arc::clone(self), is_over: false };
            tokio::spawn(watching.watch(store.clone()));
        }
        answer
    }

    /// Answers the waiters of the runs that have ended. Returns whether there were any.
    async fn look<S: Dispatch>(&self, store: &S, runs: &[RunId]) -> bool {
        match store.headers(runs.to_vec()).await {
            Ok(headers) => {
                let mut any_ended = false;
                for (run, header) in runs.iter().zip(headers) {
                    let answer = match header {
                        Some(header) if !header.status.has_ended() => continue,
                        Some(header) => Ok(header),
                        None => Err(RunError::NoSuchRun { run: (**run).into() }),
                    };
                    any_ended = true;
                    self.answer(run, &answer);
                }
                any_ended
            }
            Err(error) => {
                runs.iter().for_each(|run| self.answer(run, &Err(RunError::Store(error.clone()))));
                true
            }
        }
    }

    fn answer(&self, run: &RunId, answer: &Result<Header, RunError>) {
        let waiters = self.lock().runs.remove(run).unwrap_or_default();
        waiters.into_iter().for_each(|waiter| drop(waiter.send(answer.clone())));
    }

    /// Returns the runs for whose end handles wait. Returns `None` if no handle waits any more: the task must end then.
    fn awaited(&self) -> Option<Vec<RunId>> {
        let mut awaited = self.lock();
        awaited.runs.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        awaited.is_watched = !awaited.runs.is_empty();
        awaited.is_watched.then(|| awaited.runs.keys().cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Awaited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that asks the store.
struct Watching {
    watch: Arc<Watch>,
    /// Whether no handle waits any more.
    is_over: bool,
}

impl Watching {
    async fn watch<S: Dispatch>(mut self, store: S) {
        let mut wakes = store.wakes();
        let mut pause = SHORTEST;
        while let Some(runs) = self.watch.awaited() {
            let begun = Instant::now();
            let mut any_ended = false;
            for runs in runs.chunks(MANY) {
                any_ended |= self.watch.look(&store, runs).await;
            }
            // Many awaited runs must not keep the store busy.
            let shortest = SHORTEST.max(begun.elapsed() * 4).min(LONGEST);
            pause = if any_ended { shortest } else { (pause * 2).clamp(shortest, LONGEST) };
            tokio::time::sleep(shortest).await;
            if let Ok(false) = tokio::time::timeout(pause, wakes.changed()).await {
                tokio::time::sleep(pause).await;
            }
        }
        self.is_over = true;
    }
}

impl Drop for Watching {
    /// If the runtime of the task ends, drops the waiters, so that handles in other runtimes return an error.
    fn drop(&mut self) {
        if !self.is_over {
            *self.watch.lock() = Awaited::default();
        }
    }
}

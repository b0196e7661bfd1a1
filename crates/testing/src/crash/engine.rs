//! The engine in a crash test: the calls that only a store with queues has, for code that knows its store only as a
//! [`Store`](awaitly_core::store::Store).

use std::fmt;
use std::sync::Arc;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{Dispatch, RunId, ScheduleQuery, StoreError};
use awaitly_engine::Client;
use futures_util::future::BoxFuture;

use super::finding::Finding;
use super::process::Process;
use super::store::CrashStore;

/// The calls of the engine on the store of a process.
pub(super) struct Engine<S> {
    cancel: Call<S, Vec<RunId>, ()>,
    diagnose: Call<S, (), Vec<Finding>>,
    next_schedule: Call<S, (), Option<Timestamp>>,
}

/// A pointer to a function, because a closure that owns the process would never be dropped with it.
type Call<S, I, T> = fn(Arc<Process<S>>, I) -> BoxFuture<'static, Result<T, StoreError>>;

impl<S: Dispatch> Engine<S> {
    pub(super) fn new() -> Self {
        Self {
            cancel: |process, runs| Box::pin(cancel(process, runs)),
            diagnose: |process, ()| Box::pin(diagnose(process)),
            next_schedule: |process, ()| Box::pin(next_schedule(process)),
        }
    }
}

impl<S> Process<S> {
    /// Cancels runs like an operator. Does nothing if the process does not use the engine.
    pub(super) async fn cancel(self: &Arc<Self>, runs: Vec<RunId>) -> Result<(), StoreError> {
        match self.engine.get() {
            Some(engine) => (engine.cancel)(Arc::clone(self), runs).await,
            None => Ok(()),
        }
    }

    /// Returns the time of the next schedule of the case, if the process uses the engine.
    pub(super) async fn next_schedule(self: &Arc<Self>) -> Result<Option<Timestamp>, StoreError> {
        match self.engine.get() {
            Some(engine) => (engine.next_schedule)(Arc::clone(self), ()).await,
            None => Ok(None),
        }
    }

    /// Finds the runs that nothing continues, if `user` uses the engine. `self` is an observer of its store.
    pub(super) async fn diagnose(self: Arc<Self>, user: &Self) -> Vec<Finding> {
        match user.engine.get() {
            Some(engine) => (engine.diagnose)(self, ()).await.unwrap_or_default(),
            None => Vec::new(),
        }
    }
}

/// Cancels the runs beside the crash test, so that the request has no boundary of its own.
async fn cancel<S: Dispatch>(process: Arc<Process<S>>, runs: Vec<RunId>) -> Result<(), StoreError> {
    for run in runs {
        let run = process.watcher.scope.outer_run(&run)?;
        let _ = process.still(process.store.cancel(&run)).await?;
    }
    Ok(())
}

async fn diagnose<S: Dispatch>(process: Arc<Process<S>>) -> Result<Vec<Finding>, StoreError> {
    let diagnosis = Client::new(CrashStore { process }).doctor().await?;
    let stuck = diagnosis.stuck();
    Ok(stuck
        .map(|found| Finding::Forgotten { run: found.run.clone(), diagnosis: found.to_string() })
        .collect())
}

async fn next_schedule<S: Dispatch>(process: Arc<Process<S>>) -> Result<Option<Timestamp>, StoreError> {
    let prefix = process.watcher.scope.prefix();
    let query = ScheduleQuery::new().limit(1000);
    let query = match prefix {
        Some(prefix) => query.after(Arc::clone(prefix)),
        None => query,
    };
    let schedules = process.store.schedules(query).await?;
    let is_ours = |name: &str| prefix.is_none_or(|prefix| name.starts_with(&**prefix));
    Ok(schedules.into_iter().filter(|one| is_ours(&one.name)).filter_map(|one| one.due).min())
}

impl<S> fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

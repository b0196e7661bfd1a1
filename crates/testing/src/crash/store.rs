use std::fmt;
use std::future::pending;
use std::sync::Arc;

use awaitly_core::journal::{Header, Key, Record, Status};
use awaitly_core::store::{
    Durability, Ending, Lease, OnRecorded, Open, Opened, Owner, Purpose, RunId, Store, StoreError,
};

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::life::Fate;
use super::process::{Process, Unflushed};
use super::watcher::Watcher;
use crate::script::pass;

/// The store of a crash test, as one process has it: with a boundary before and after each call that writes.
///
/// With the process dies what it had in flight. Its leases stay, as those of a process that was killed do. What was
/// written with [`Durability::Batched`] and not followed by a durable write is lost with it, as by a loss of power.
///
/// Cheap to clone; clones are the same process.
pub struct CrashStore<S> {
    pub(super) process: Arc<Process<S>>,
}

impl<S: Store> CrashStore<S> {
    pub(super) fn watcher(&self) -> &Watcher {
        &self.process.watcher
    }

    /// The run id as the store beneath knows it.
    pub(super) fn outer_run(&self, run: &RunId) -> Result<RunId, StoreError> {
        match &self.watcher().scope {
            None => Ok(run.clone()),
            Some(scope) => RunId::new(format!("{scope}{run}"))
                .map_err(|error| StoreError::Unavailable { detail: error.to_string().into() }),
        }
    }

    /// The run id as the process knows it. `None`: it is another's.
    pub(super) fn inner_run(&self, run: &RunId) -> Option<RunId> {
        match &self.watcher().scope {
            None => Some(run.clone()),
            Some(scope) => RunId::new(run.strip_prefix(&**scope)?).ok(),
        }
    }

    /// The run, as the notes know it.
    pub(super) fn noted(&self, run: &RunId) -> Arc<str> {
        let run = self.inner_run(run).unwrap_or_else(|| run.clone());
        self.watcher().named(&run.to_shared())
    }

    /// Passes a boundary. Does not come back where the process dies there.
    pub(super) async fn cross(
        &self,
        side: Side,
        act: &Act,
        key: Option<&Key>,
        run: &RunId,
    ) -> Result<(), StoreError> {
        let Watcher { life, notes, .. } = self.watcher();
        let fate = life.pass(true, || Boundary::new(side, act.clone(), key.cloned()));
        if life.asks_for_cancel() {
            self.process.still(request_cancel(&*self.process.store, run)).await?;
        }
        match fate {
            Fate::GoesOn => Ok(()),
            Fate::Dies => pending().await,
            Fate::NoAnswer => {
                // Who is polled beside it gets as far as it can before the failure is known.
                pass(1).await;
                if let Some(step) = key.filter(|_| act.is_of_body()) {
                    notes.not_answered(&self.noted(run), step);
                }
                Err(StoreError::Unavailable { detail: "a crash test".into() })
            }
        }
    }

    async fn write(&self, lease: &Lease, record: Record, on_recorded: OnRecorded) -> Result<(), StoreError> {
        let Process { store, .. } = &*self.process;
        let (run, key) = (self.noted(lease.run()), record.key.clone());
        let written = match on_recorded {
            OnRecorded::Refuse => self.process.still(store.append(lease, record, Durability::Sync)).await,
            OnRecorded::Replace => self.process.still(store.replace(lease, record, Durability::Sync)).await,
        };
        written?;
        self.watcher().notes.acknowledged(&run, key);
        Ok(())
    }

    /// Makes durable what is only acknowledged of the run.
    pub(super) async fn flush(&self, run: &RunId) -> Result<(), StoreError> {
        let unflushed = self.take_unflushed(run);
        self.write_all(unflushed).await
    }

    fn take_unflushed(&self, run: &RunId) -> Vec<Unflushed> {
        let mut hands = self.process.hands();
        let all = std::mem::take(&mut hands.unflushed);
        let (ours, others) = all.into_iter().partition(|write| write.run() == run);
        hands.unflushed = others;
        ours
    }

    /// The process lives on: what it has acknowledged is made durable. Where that fails, the next one finds out.
    pub(super) async fn flush_all(&self) {
        let unflushed = std::mem::take(&mut self.process.hands().unflushed);
        let _ = self.write_all(unflushed).await;
    }

    async fn write_all(&self, writes: Vec<Unflushed>) -> Result<(), StoreError> {
        for write in writes {
            match write {
                Unflushed::Record(lease, record, on_recorded) => {
                    self.write(&lease, record, on_recorded).await?
                }
                Unflushed::Release(lease) => self.process.store.release(&lease),
            }
        }
        Ok(())
    }

    /// What is opened for the first time has to be new, and what was acknowledged has to be there.
    pub(super) async fn check(&self, run: &RunId, opened: &Opened) {
        let noted = self.noted(run);
        let notes = &self.watcher().notes;
        let is_first = notes.opened(&noted);
        let is_new = match opened {
            Opened::Held { run, .. } => run.header.status == Status::Running && run.records.is_empty(),
            Opened::Ended(_) => false,
            Opened::Refused(_) => true,
        };
        if is_first && !is_new {
            notes.find(Finding::NotFresh { run: run.clone() });
        }
        if let Opened::Held { lease, run: stored, .. } = opened {
            self.process.hands().leases.push(lease.clone());
            notes.check(&noted, &stored.records);
            self.try_late(&noted, lease).await;
        }
    }

    /// What a dead process was about to write reaches the store now, and must be refused.
    async fn try_late(&self, run: &Arc<str>, lease: &Lease) {
        let notes = &self.watcher().notes;
        let Some((stale, record)) = notes.take_late(run).filter(|(stale, _)| stale.token() < lease.token())
        else {
            return;
        };
        let key = record.key.clone();
        let late = self.process.store.append(&stale, record, Durability::Sync);
        if self.process.still(late).await.is_ok()
            && let Ok(run) = RunId::new(Arc::clone(run))
        {
            notes.find(Finding::FencingIgnored { run, key });
        }
    }
}

/// Does what an operator does that cancels the run, with what every store has: opens it for that. The owner of the lease
/// learns of it, and a run that is free is to be resumed at once.
async fn request_cancel<S: Store>(store: &S, run: &RunId) -> Result<(), StoreError> {
    let Some(stored) = store.load(run).await? else { return Ok(()) };
    let Header { workflow, version, status, .. } = stored.header;
    let request = Open::new(run.clone(), workflow, Owner::unique()).version(version).existing();
    if let Opened::Held { lease, now, .. } = store.open(request.purpose(Purpose::Cancel)).await? {
        match status {
            Status::Running | Status::Waiting => {
                let ending = Ending { wake: Some(now), cancelling: true, ..Ending::new(Status::Waiting) };
                store.finish(&lease, ending).await?;
            }
            _ => store.release(&lease),
        }
    }
    Ok(())
}

/// A write of a run on its way.
pub(super) struct Writing<'a>(&'a Watcher, Arc<str>);

impl<'a> Writing<'a> {
    pub(super) fn begin<S: Store>(store: &'a CrashStore<S>, run: &RunId) -> Self {
        let (watcher, run) = (store.watcher(), store.noted(run));
        watcher.notes.writes(&run, true);
        Self(watcher, run)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.notes.writes(&self.1, false);
    }
}

// By hand, so that `S` need not be `Clone`.
impl<S> Clone for CrashStore<S> {
    fn clone(&self) -> Self {
        Self { process: Arc::clone(&self.process) }
    }
}

impl<S> fmt::Debug for CrashStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashStore").finish_non_exhaustive()
    }
}

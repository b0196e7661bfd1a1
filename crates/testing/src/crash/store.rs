use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Header, Key, Record, Refused, Status};
use awaitly_core::store::{
    Claimed, Durability, Ending, Held, Lease, OnRecorded, Open, Opened, Owner, Purpose, RunId, Store,
    StoreError, StoredRun, Submitted,
};
use tokio::time::Instant;

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::life::Fate;
use super::notes::Origin;
use super::process::{Process, Unflushed};
use super::watcher::Watcher;
use crate::script::pass;

/// The store of a crash test, as one process uses it: with a boundary before and after each call that writes.
///
/// A death loses the writes in flight, and the outcomes written with [`Durability::Batched`] that no durable write
/// followed. The leases of the process stay until they expire. Cloning is cheap; clones belong to one process.
pub struct CrashStore<S> {
    pub(super) process: Arc<Process<S>>,
}

impl<S: Store> CrashStore<S> {
    pub(super) fn watcher(&self) -> &Watcher {
        &self.process.watcher
    }

    /// Returns the name of the run in the notes.
    pub(super) fn noted(&self, run: &RunId) -> Arc<str> {
        let run = self.watcher().scope.inner_run(run).unwrap_or_else(|| run.clone());
        self.watcher().named(&run.to_shared())
    }

    /// Passes a boundary. Stays pending if the process dies there.
    pub(super) async fn cross(
        &self,
        side: Side,
        act: &Act,
        key: Option<&Key>,
        run: Option<&RunId>,
    ) -> Result<(), StoreError> {
        let Watcher { life, notes, .. } = self.watcher();
        let fate = life.pass(true, || Boundary::new(side, act.clone(), key.cloned()));
        if life.asks_for_cancel() {
            self.request_cancel(run).await?;
        }
        match fate {
            Fate::GoesOn => Ok(()),
            Fate::Dies => pending().await,
            Fate::NoAnswer => {
                // Concurrent branches make their progress before the body learns of the failure.
                pass(1).await;
                if let (Some(step), Some(run)) = (key.filter(|_| act.is_of_body()), run) {
                    notes.not_answered(&self.noted(run), step);
                }
                Err(StoreError::Unavailable { detail: "a crash test".into() })
            }
        }
    }

    /// Cancels the runs of the process like an operator: those that clients and schedules started, and the run that it
    /// executes beside the engine.
    async fn request_cancel(&self, run: Option<&RunId>) -> Result<(), StoreError> {
        let Watcher { notes, .. } = self.watcher();
        let started = notes.started().into_iter().filter_map(|noted| self.watcher().unnamed(&noted));
        self.process.cancel(started.collect()).await?;
        match run.filter(|run| notes.origin(&self.noted(run)) == Origin::Process) {
            Some(run) => self.process.still(request_cancel(&*self.process.store, run)).await,
            None => Ok(()),
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

    /// Writes the acknowledged records of the run to the store.
    pub(super) async fn flush(&self, run: &RunId) -> Result<(), StoreError> {
        let unflushed = self.take_unflushed(run);
        self.write_all(unflushed).await
    }

    fn take_unflushed(&self, run: &RunId) -> Vec<Unflushed> {
        let mut held = self.process.held();
        let all = std::mem::take(&mut held.unflushed);
        let (ours, others) = all.into_iter().partition(|write| write.run() == run);
        held.unflushed = others;
        ours
    }

    /// Writes all acknowledged records to the store. If a write fails, the next process finds the record missing.
    pub(super) async fn flush_all(&self) {
        let unflushed = std::mem::take(&mut self.process.held().unflushed);
        let _ = self.write_all(unflushed).await;
    }

    async fn write_all(&self, writes: Vec<Unflushed>) -> Result<(), StoreError> {
        for write in writes {
            match write {
                Unflushed::Record(lease, record, on_recorded) => {
                    self.write(&lease, record, on_recorded).await?
                }
                Unflushed::Release(lease) => {
                    self.watcher().notes.freed(&self.noted(lease.run()));
                    self.process.store.release(&lease);
                }
            }
        }
        Ok(())
    }

    /// Checks that a run is new if it is opened for the first time, and that the store holds all acknowledged records.
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
            self.take(&noted, lease, stored).await;
        }
    }

    /// Checks that the store knows each claimed run from this case, and holds all its acknowledged records.
    pub(super) async fn check_claimed(&self, claimed: &Claimed) {
        for Held { lease, run: stored } in &claimed.runs {
            let noted = self.noted(lease.run());
            if self.watcher().notes.opened(&noted) {
                self.watcher().notes.find(Finding::NotFresh { run: lease.run().clone() });
            }
            self.take(&noted, lease, stored).await;
        }
    }

    async fn take(&self, noted: &Arc<str>, lease: &Lease, stored: &StoredRun) {
        self.process.held().leases.push(lease.clone());
        self.watcher().notes.check(noted, &stored.records);
        self.try_late(noted, lease).await;
    }

    /// Checks that submitted runs are new if they are submitted for the first time.
    pub(super) fn check_submitted(&self, batch: &[(RunId, Origin)], results: &[Result<Submitted, Refused>]) {
        let notes = &self.watcher().notes;
        for ((run, origin), result) in batch.iter().zip(results) {
            let is_new = match result {
                Ok(Submitted::Queued) => true,
                Ok(Submitted::Exists(_)) => false,
                // Another run takes its place.
                Ok(Submitted::Duplicate(_)) | Err(_) => continue,
            };
            if notes.submitted(&self.noted(run), *origin) && !is_new {
                notes.find(Finding::NotFresh { run: run.clone() });
            }
        }
    }

    /// Notes a lease that was taken for this time. Time and leases of a real store follow another clock.
    pub(super) fn note_taken(&self, lease: &Lease, ttl: Duration) {
        let (notes, run) = (&self.watcher().notes, self.noted(lease.run()));
        if !notes.taken(&run, lease.token(), self.until(ttl))
            && let Ok(run) = RunId::new(run)
        {
            notes.find(Finding::TakenTwice { run });
        }
    }

    pub(super) fn until(&self, ttl: Duration) -> Option<Instant> {
        Instant::now().checked_add(ttl).filter(|_| !self.process.real)
    }

    /// Sends the write that a dead process had prepared. The store must refuse it.
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

/// Cancels the run like an operator, with calls that every store has. The owner of the lease learns of it; a free run
/// becomes due immediately.
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

/// A guard that counts a write of a run in flight.
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

// A derived implementation would require `S: Clone`.
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

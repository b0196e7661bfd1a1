use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Header, Key, Outcome, Record, Settling, Status};
use awaitly_core::store::{
    Durability, Ending, Lease, OnRecorded, Open, Opened, Owner, Purpose, Renewed, Rewrite, RunId, Store,
    StoreError, StoredRun, Transactional, Wait,
};

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::life::Fate;
use super::process::Process;
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

/// A write that the process has acknowledged, and the store has not.
#[derive(Debug)]
pub(super) enum Unflushed {
    Record(Lease, Record, OnRecorded),
    Release(Lease),
}

impl Unflushed {
    fn run(&self) -> &RunId {
        match self {
            Self::Record(lease, ..) | Self::Release(lease) => lease.run(),
        }
    }
}

impl<S: Store> CrashStore<S> {
    pub(super) fn watcher(&self) -> &Watcher {
        &self.process.watcher
    }

    /// The run id as the store beneath knows it.
    pub(super) fn outer(&self, run: &RunId) -> Result<RunId, StoreError> {
        match &self.watcher().scope {
            None => Ok(run.clone()),
            Some(scope) => RunId::new(format!("{scope}{run}"))
                .map_err(|error| StoreError::Unavailable { detail: error.to_string().into() }),
        }
    }

    /// The run id as the process knows it. `None`: it is another's.
    pub(super) fn inner(&self, run: &RunId) -> Option<RunId> {
        match &self.watcher().scope {
            None => Some(run.clone()),
            Some(scope) => RunId::new(run.strip_prefix(&**scope)?).ok(),
        }
    }

    /// The run, as the notes know it.
    pub(super) fn noted(&self, run: &RunId) -> Arc<str> {
        let run = self.inner(run).unwrap_or_else(|| run.clone());
        self.watcher().named(&run.to_shared())
    }

    /// Passes a boundary. Does not come back where the process dies there.
    async fn cross(&self, side: Side, act: &Act, key: Option<&Key>, run: &RunId) -> Result<(), StoreError> {
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

    /// Calls the store, with a boundary before and after.
    pub(super) async fn call<T>(
        &self,
        act: Act,
        key: Option<&Key>,
        run: &RunId,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.cross(Side::Before, &act, key, run).await?;
        self.flush(run).await?;
        let answer = self.process.still(call).await?;
        self.cross(Side::After, &act, key, run).await?;
        Ok(answer)
    }

    /// Calls the store without a boundary: it reads, or nothing else depends on it.
    pub(super) async fn look<T>(&self, call: impl Future<Output = T>) -> T {
        if self.watcher().life.is_dead() {
            return pending().await;
        }
        self.process.still(call).await
    }

    /// Adds a record, at once or with the next durable write.
    async fn record(
        &self,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let (run, key) = (lease.run(), record.key.clone());
        let Watcher { life, notes, .. } = self.watcher();
        let _writing = Writing::begin(self, run);
        if life.dies_next() {
            notes.late(&self.noted(run), lease.clone(), record.clone());
        }
        self.cross(Side::Before, &Act::Record, Some(&key), run).await?;
        if durability == Durability::Batched {
            let unflushed = Unflushed::Record(lease.clone(), record, on_recorded);
            self.process.hands().unflushed.push(unflushed);
        } else {
            self.flush(run).await?;
            self.write(lease, record, on_recorded).await?;
        }
        self.cross(Side::After, &Act::Record, Some(&key), run).await
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
    async fn flush(&self, run: &RunId) -> Result<(), StoreError> {
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
    async fn check(&self, run: &RunId, opened: &Opened) {
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
struct Writing<'a>(&'a Watcher, Arc<str>);

impl<'a> Writing<'a> {
    fn begin<S: Store>(store: &'a CrashStore<S>, run: &RunId) -> Self {
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

impl<S: Store> Store for CrashStore<S> {
    async fn open(&self, mut request: Open) -> Result<Opened, StoreError> {
        let run = self.outer(&request.run)?;
        request.run = run.clone();
        self.call(Act::Open, None, &run, async {
            let opened = self.process.store.open(request).await?;
            self.check(&run, &opened).await;
            Ok(opened)
        })
        .await
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.record(lease, record, OnRecorded::Refuse, durability).await
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.record(lease, record, OnRecorded::Replace, durability).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        let (run, key) = (lease.run(), wait.key.clone());
        let _writing = Writing::begin(self, run);
        self.call(Act::Question, Some(&key), run, async {
            self.process.store.wait(lease, wait).await?;
            self.watcher().notes.questioned(&self.noted(run), key.clone());
            Ok(())
        })
        .await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        let (run, key) = (lease.run(), record.key.clone());
        let _writing = Writing::begin(self, run);
        self.call(Act::Settling, Some(&key), run, async {
            let settled = self.process.store.settle(lease, record, settling).await?;
            if settled.is_some() {
                self.watcher().notes.acknowledged(&self.noted(run), key.clone());
            }
            Ok(settled)
        })
        .await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        let run = lease.run();
        self.call(Act::Revival, None, run, async {
            self.watcher().notes.revived(&self.noted(run), &drop);
            self.process.store.revive(lease, drop).await
        })
        .await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        let (run, notes) = (lease.run(), &self.watcher().notes);
        let keys: Vec<_> = rewrite.contents.records.iter().map(|record| record.key.clone()).collect();
        self.call(Act::Migration, None, run, async {
            notes.rewritten(&self.noted(run), []);
            self.process.store.rewrite(lease, rewrite).await?;
            notes.rewritten(&self.noted(run), keys);
            Ok(())
        })
        .await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        self.call(Act::End, None, lease.run(), self.process.store.finish(lease, ending)).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let life = &self.watcher().life;
        let renewal = self.process.store.renew(lease, ttl);
        if life.has_only_renewed() {
            return self.look(renewal).await;
        }
        let renewed = self.call(Act::Renewal, None, lease.run(), renewal).await;
        life.renewed();
        renewed
    }

    fn release(&self, lease: &Lease) {
        if self.watcher().life.is_dead() {
            return;
        }
        let mut hands = self.process.hands();
        if hands.unflushed.iter().any(|write| write.run() == lease.run()) {
            hands.unflushed.push(Unflushed::Release(lease.clone()));
        } else {
            self.process.store.release(lease);
        }
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let run = self.outer(run)?;
        self.look(async {
            self.flush(&run).await?;
            self.process.store.load(&run).await
        })
        .await
    }

    fn durability(&self) -> &'static str {
        self.process.store.durability()
    }
}

impl<S: Transactional> Transactional for CrashStore<S> {
    type Transaction = S::Transaction;

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        self.look(self.process.store.begin()).await
    }

    async fn commit(
        &self,
        transaction: Self::Transaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        let (run, key) = (lease.run(), record.key.clone());
        let _writing = Writing::begin(self, run);
        self.call(Act::Commit, Some(&key), run, async {
            self.process.store.commit(transaction, lease, record, on_recorded).await?;
            self.watcher().notes.acknowledged(&self.noted(run), key.clone());
            Ok(())
        })
        .await
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

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Key, Outcome, Record, Settling};
use awaitly_core::store::{
    Durability, Ending, Lease, OnRecorded, Open, Opened, Renewed, RunId, Store, StoreError, StoredRun,
    Transactional, Wait,
};

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::life::Fate;
use super::process::{Process, Watcher};

/// The store of a crash test, as one process has it: with a boundary before and after each call.
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

    /// The run of a lease, as the notes know it.
    fn noted(&self, lease: &Lease) -> Arc<str> {
        let run = self.inner(lease.run()).unwrap_or_else(|| lease.run().clone());
        self.watcher().named(&run.to_shared())
    }

    /// Calls the store, with a boundary before and after.
    pub(super) async fn call<T>(
        &self,
        act: Act,
        key: Option<&Key>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let life = &self.watcher().life;
        life.cross(|| Boundary::new(Side::Before, act.clone(), key.cloned())).await?;
        self.flush().await?;
        let answer = self.process.still(call).await?;
        life.cross(|| Boundary::new(Side::After, act, key.cloned())).await?;
        Ok(answer)
    }

    /// Adds a record, at once or with the next durable write.
    async fn record(
        &self,
        act: Act,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let life = &self.watcher().life;
        let (run, key) = (self.noted(lease), record.key.clone());
        let _writing = InFlight::begin(self.watcher());
        match life.pass(true, || Boundary::new(Side::Before, act.clone(), Some(key.clone()))) {
            Fate::GoesOn => {}
            Fate::NoAnswer => return Err(StoreError::Unavailable { detail: "a crash test".into() }),
            Fate::Dies => {
                self.watcher().notes.late(&run, lease.clone(), record);
                return pending().await;
            }
        }
        if durability == Durability::Batched {
            let unflushed = Unflushed::Record(lease.clone(), record, on_recorded);
            self.process.hands().unflushed.push(unflushed);
        } else {
            self.flush().await?;
            self.write(lease, record, on_recorded).await?;
        }
        life.cross(|| Boundary::new(Side::After, act, Some(key))).await
    }

    async fn write(&self, lease: &Lease, record: Record, on_recorded: OnRecorded) -> Result<(), StoreError> {
        let Process { store, .. } = &*self.process;
        let (run, key) = (self.noted(lease), record.key.clone());
        match on_recorded {
            OnRecorded::Refuse => {
                self.process.still(store.append(lease, record, Durability::Sync)).await?;
            }
            OnRecorded::Replace => {
                self.process.still(store.replace(lease, record, Durability::Sync)).await?;
            }
        }
        self.watcher().notes.acknowledged(&run, key);
        Ok(())
    }

    /// Makes durable what is only acknowledged.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let unflushed = std::mem::take(&mut self.process.hands().unflushed);
        for write in unflushed {
            match write {
                Unflushed::Record(lease, record, on_recorded) => {
                    self.write(&lease, record, on_recorded).await?
                }
                Unflushed::Release(lease) => self.process.store.release(&lease),
            }
        }
        Ok(())
    }

    /// Looks whether the store has all that it acknowledged, and refuses what comes too late.
    async fn check(&self, run: &Arc<str>, lease: &Lease, stored: &StoredRun) {
        let notes = &self.watcher().notes;
        notes.check(run, &stored.records);
        let Some((stale, record)) = notes.take_late(run) else { return };
        if stale.token() >= lease.token() {
            return;
        }
        let key = record.key.clone();
        let late = self.process.store.append(&stale, record, Durability::Sync);
        if self.process.still(late).await.is_ok()
            && let Ok(run) = RunId::new(Arc::clone(run))
        {
            notes.find(Finding::FencingIgnored { run, key });
        }
    }
}

/// A write on its way.
struct InFlight<'a>(&'a Watcher);

impl<'a> InFlight<'a> {
    fn begin(watcher: &'a Watcher) -> Self {
        watcher.life.write_more(1);
        Self(watcher)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.life.write_more(-1);
    }
}

impl<S: Store> Store for CrashStore<S> {
    async fn open(&self, mut request: Open) -> Result<Opened, StoreError> {
        let run = self.watcher().named(&request.run.to_shared());
        request.run = self.outer(&request.run)?;
        let ttl = request.ttl;
        let life = &self.watcher().life;
        life.cross(|| Boundary::new(Side::Before, Act::Open, None)).await?;
        self.flush().await?;
        let opened = self.process.still(self.process.store.open(request)).await?;
        if let Opened::Held { lease, run: stored, .. } = &opened {
            {
                let mut hands = self.process.hands();
                hands.leases.push(lease.clone());
                hands.ttl = hands.ttl.max(ttl);
            }
            self.check(&run, lease, stored).await;
        }
        life.cross(|| Boundary::new(Side::After, Act::Open, None)).await?;
        Ok(opened)
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.record(Act::Record, lease, record, OnRecorded::Refuse, durability).await
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        self.record(Act::Record, lease, record, OnRecorded::Replace, durability).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        let key = wait.key.clone();
        let _writing = InFlight::begin(self.watcher());
        self.call(Act::Question, Some(&key), self.process.store.wait(lease, wait)).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        let key = record.key.clone();
        let _writing = InFlight::begin(self.watcher());
        self.call(Act::Settling, Some(&key), self.process.store.settle(lease, record, settling)).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        let run = self.noted(lease);
        self.call(Act::Revival, None, async {
            self.watcher().notes.dropped(&run, Some(&drop));
            self.process.store.revive(lease, drop).await
        })
        .await
    }

    async fn rewrite(&self, lease: &Lease, version: u32, records: Vec<Record>) -> Result<(), StoreError> {
        let run = self.noted(lease);
        self.call(Act::Migration, None, async {
            self.watcher().notes.dropped(&run, None);
            self.process.store.rewrite(lease, version, records).await
        })
        .await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        self.call(Act::End, None, self.process.store.finish(lease, ending)).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let life = &self.watcher().life;
        let renewal = self.process.store.renew(lease, ttl);
        if life.has_only_renewed() && !life.is_dead() {
            return self.process.still(renewal).await;
        }
        let renewed = self.call(Act::Renewal, None, renewal).await;
        life.renewed();
        renewed
    }

    fn release(&self, lease: &Lease) {
        if self.watcher().life.is_dead() {
            return;
        }
        let mut hands = self.process.hands();
        if hands.unflushed.is_empty() {
            self.process.store.release(lease);
        } else {
            hands.unflushed.push(Unflushed::Release(lease.clone()));
        }
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let run = self.outer(run)?;
        self.flush().await?;
        self.process.still(self.process.store.load(&run)).await
    }

    fn durability(&self) -> &'static str {
        self.process.store.durability()
    }
}

impl<S: Transactional> Transactional for CrashStore<S> {
    type Transaction = S::Transaction;

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        self.process.still(self.process.store.begin()).await
    }

    async fn commit(
        &self,
        transaction: Self::Transaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        let (run, key) = (self.noted(lease), record.key.clone());
        let _writing = InFlight::begin(self.watcher());
        self.call(Act::Commit, Some(&key), async {
            self.process.store.commit(transaction, lease, record, on_recorded).await?;
            self.watcher().notes.acknowledged(&run, key.clone());
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

//! A store that fails on demand, with a secret in its error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awaitly_core::journal::{Key, Outcome, Record, Settling, Timestamp};
use awaitly_core::store::{
    Answer, Answered, Cancelled, DeleteIf, Due, DueQuery, Durability, Ending, Imported, Lease, Open, Opened,
    Operate, Page, Renewed, Rewrite, RunId, RunQuery, RunSummary, Store, StoreError, StoredRun, Wait,
    WaitQuery, Waiting, Wakes,
};
use awaitly_persistence::MemoryStore;

#[derive(Clone, Default)]
pub(crate) struct Faulty {
    pub(crate) memory: MemoryStore,
    fails: Arc<AtomicBool>,
}

/// A text that no client may see.
pub(crate) const SECRET: &str = "postgres://awaitly:hunter2@10.0.0.7";

impl Faulty {
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable { detail: SECRET.into() });
        }
        Ok(())
    }
}

/// Access to all runs of a store.
pub(crate) trait Everything {
    async fn everything(&self) -> Vec<(RunId, StoredRun)>;
}

impl Everything for MemoryStore {
    async fn everything(&self) -> Vec<(RunId, StoredRun)> {
        let mut all = Vec::new();
        for run in self.list(RunQuery::new().limit(1000)).await.unwrap().items {
            let stored = self.load(&run.run).await.unwrap().unwrap();
            all.push((run.run, stored));
        }
        all
    }
}

/// Forwards calls, unless the store fails.
macro_rules! handed_on {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
            self.check()?;
            self.memory.$name($($arg),*).await
        })*
    };
}

impl Store for Faulty {
    handed_on! {
        open(request: Open) -> Opened;
        append(lease: &Lease, record: Record, durability: Durability) -> ();
        replace(lease: &Lease, record: Record, durability: Durability) -> ();
        wait(lease: &Lease, wait: Wait) -> ();
        settle(lease: &Lease, record: Record, settling: Settling) -> Option<Outcome>;
        revive(lease: &Lease, drop: Vec<Key>) -> ();
        rewrite(lease: &Lease, rewrite: Rewrite) -> ();
        finish(lease: &Lease, ending: Ending) -> ();
        renew(lease: &Lease, ttl: Duration) -> Renewed;
        load(run: &RunId) -> Option<StoredRun>;
    }

    fn release(&self, lease: &Lease) {
        self.memory.release(lease);
    }

    fn durability(&self) -> &'static str {
        "memory, and faulty"
    }
}

impl Operate for Faulty {
    handed_on! {
        list(query: RunQuery) -> Page<RunSummary>;
        waiting(query: WaitQuery) -> Page<Waiting>;
        due(query: DueQuery) -> Vec<Due>;
        answer(answer: Answer) -> Answered;
        cancel(run: &RunId) -> Cancelled;
        cancel_without_undo(run: &RunId) -> Cancelled;
        delete(runs: Vec<RunId>, condition: DeleteIf) -> Vec<RunId>;
        import(run: RunId, stored: StoredRun) -> Imported;
        now() -> Timestamp;
    }

    fn wakes(&self) -> Wakes {
        self.memory.wakes()
    }
}

//! A store that fails on demand, with a secret in its error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use awaitly_core::store::around::Request;
use awaitly_core::store::{Around, Operate, RunId, RunQuery, Store, StoreError, StoredRun};
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

impl Around for Faulty {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.memory
    }

    async fn around<R: Request<MemoryStore>>(&self, request: R) -> Result<R::Answer, StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable { detail: SECRET.into() });
        }
        request.send(&self.memory).await
    }
}

//! Fixtures that the tests share.

use awaitly_core::journal::{Key, Status};
use awaitly_core::store::{RunId, Store, StoredRun};
use awaitly_core::{DurableRun, RunError, Workflow};
use awaitly_hitl::{Approvals, Inbox};
use awaitly_persistence::MemoryStore;
use serde::{Deserialize, Serialize};

/// The answer of a manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) cents: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<String>,
}

impl Decision {
    pub(crate) const fn of(cents: u64) -> Self {
        Self { cents, condition: None }
    }
}

/// A store with an inbox and a workflow that consists of one approval.
pub(crate) struct Office {
    pub(crate) store: MemoryStore,
    pub(crate) inbox: Inbox<MemoryStore>,
    pub(crate) workflow: Workflow,
}

impl Office {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        let workflow = Workflow::new("expense").store(store.clone());
        Self { inbox: Inbox::new(store.clone()), store, workflow }
    }

    /// Executes a run that asks its manager.
    pub(crate) async fn ask(&self, run: &str) -> Result<Decision, RunError> {
        self.workflow.run(run, async |run: &DurableRun| run.approval("manager").await).await
    }

    pub(crate) async fn stored(&self, run: &str) -> StoredRun {
        self.store.load(&RunId::new(run).unwrap()).await.unwrap().unwrap()
    }

    pub(crate) async fn status(&self, run: &str) -> Status {
        self.stored(run).await.header.status
    }
}

/// The result of a run that waits for the answer under `key`.
pub(crate) fn waits<T>(key: impl Into<Key>) -> Result<T, RunError> {
    Err(RunError::Waiting { step: key.into() })
}

use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Status, Timestamp};
use awaitly_core::store::{DeleteIf, Operate, RunQuery, StoreError};

/// A selection of runs to delete: runs that ended long enough ago.
///
/// # Default
/// Runs of every workflow with every final status, in batches of 500.
#[derive(Debug, Clone)]
#[must_use]
pub struct Retention {
    age: Duration,
    statuses: Vec<Status>,
    workflow: Option<Arc<str>>,
    batch: usize,
}

impl Retention {
    /// Selects runs that ended at least `age` ago, by the store's clock.
    pub const fn ended_for(age: Duration) -> Self {
        Self { age, statuses: Vec::new(), workflow: None, batch: 500 }
    }

    /// Restricts the selection to runs that ended with this status; further calls add a status. Runs that have not
    /// ended are never deleted, even if their status is given here.
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }

    /// Restricts the selection to runs of this workflow. A further call replaces the workflow.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_persistence::operate::{OperateExt, Retention};
    /// # use awaitly_core::{DurableRun, Error, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let declined = async |_: &DurableRun| Err::<(), _>(Error::Failed("declined".to_owned()));
    /// # Workflow::new("checkout").store(store.clone()).run("order-42", declined).await.unwrap_err();
    /// let refunds = Retention::ended_for(Duration::ZERO).workflow("refund");
    /// assert_eq!(store.retain(refunds).await?, 0);
    /// let checkouts = Retention::ended_for(Duration::ZERO).workflow("checkout");
    /// assert_eq!(store.retain(checkouts).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn workflow(mut self, workflow: impl Into<Arc<str>>) -> Self {
        self.workflow = Some(workflow.into());
        self
    }

    /// Sets the maximum number of runs in a batch, from 1 to 1000; values outside of this range are clamped. The store
    /// deletes each batch in one commit.
    ///
    /// # Default
    /// 500.
    pub const fn batch(mut self, runs: usize) -> Self {
        self.batch = runs;
        self
    }

    fn query(&self, before: Timestamp) -> RunQuery {
        let mut query = RunQuery::new().changed_before(before).limit(self.batch);
        let ended = Status::ALL.into_iter().filter(|status| status.has_ended());
        query.statuses =
            ended.filter(|status| self.statuses.is_empty() || self.statuses.contains(status)).collect();
        query.workflow = self.workflow.clone();
        query
    }
}

pub(super) async fn retain<S: Operate + ?Sized>(
    store: &S,
    retention: Retention,
) -> Result<usize, StoreError> {
    let now = store.now().await?;
    let age = u64::try_from(retention.age.as_millis()).unwrap_or(u64::MAX);
    let before = Timestamp::from_millis(now.as_millis().saturating_sub(age).saturating_add(1));
    let mut query = retention.query(before);
    if query.statuses.is_empty() {
        return Ok(0);
    }
    let mut deleted = 0;
    loop {
        let page = store.list(query.clone()).await?;
        let runs = page.items.into_iter().map(|run| run.run).collect();
        deleted += store.delete(runs, DeleteIf::EndedBefore(before)).await?.len();
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(deleted),
        }
    }
}

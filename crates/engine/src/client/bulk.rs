use std::fmt;

use awaitly_core::store::{
    Cancelled, DeleteIf, Dispatch, Pausing, Reschedule, RunId, RunQuery, RunSummary, StoreError,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::run::retry;

/// Operations on all runs that match a query: [`Client::bulk`](crate::Client::bulk) returns it.
///
/// Each operation reads the matching runs page by page, newest first, and changes the runs of a page before it reads
/// the next one. So it needs little memory. If it is interrupted, call it again to continue. It does not include runs
/// that start in the meantime.
///
/// # Errors
/// Each operation returns [`StoreError`] if the store fails. The runs that it has changed stay changed.
///
/// # Cancel safety
/// Dropping the future stops the operation. The runs that it has changed stay changed.
///
/// # Examples
/// ```
/// use awaitly_core::journal::Status;
/// use awaitly_core::store::RunQuery;
/// use awaitly_engine::Client;
/// use awaitly_persistence::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(MemoryStore::new());
/// // The dead letters of a queue: failed runs, which are retried only on request.
/// let dead = RunQuery::new().queue("mails").status(Status::Failed);
/// let retried = client.bulk(dead).on_progress(|progress| println!("{progress}")).retry().await?;
/// assert_eq!((retried.seen, retried.changed), (0, 0));
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens until one of its operations is awaited"]
pub struct Bulk<S> {
    store: S,
    query: RunQuery,
    on_progress: Box<dyn FnMut(Progress) + Send>,
}

/// The progress or the result of an operation on many runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of matching runs so far.
    pub seen: usize,
    /// The number of changed runs so far. The state of the other runs did not permit the change.
    pub changed: usize,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} runs changed", self.changed, self.seen)
    }
}

/// The number of concurrent calls, if the store needs one call for each run.
const AT_ONCE: usize = 32;

/// The number of runs in a page.
const PAGE: usize = 500;

impl<S: Dispatch + Clone> Bulk<S> {
    pub(super) fn new(store: S, query: RunQuery) -> Self {
        Self { store, query, on_progress: Box::new(|_| {}) }
    }

    /// Calls `on_progress` after each page.
    pub fn on_progress(mut self, on_progress: impl FnMut(Progress) + Send + 'static) -> Self {
        self.on_progress = Box::new(on_progress);
        self
    }

    /// Retries the failed and cancelled runs: workers resume them from the step that they failed on. Waiting runs are
    /// executed once more, and wait again if they still have to.
    pub async fn retry(self) -> Result<Progress, StoreError> {
        self.one_by_one(async |store: S, run| retry(&store, run).await).await
    }

    /// Requests the cancellation of the runs that have not ended.
    pub async fn cancel(self) -> Result<Progress, StoreError> {
        self.one_by_one(async |store: S, run| {
            let cancelled = store.cancel(&run).await?;
            Ok(matches!(cancelled, Cancelled::Requested | Cancelled::WithoutUndo))
        })
        .await
    }

    /// Deletes the runs whose lease is free, with all their records. **It also deletes runs that have not ended**, and
    /// does not undo their effects. Restrict the query to ended runs to keep the others.
    pub async fn delete(self) -> Result<Progress, StoreError> {
        self.page_by_page(async |store: S, runs| Ok(store.delete(runs, DeleteIf::Free).await?.len())).await
    }

    /// Pauses the runs that have not ended.
    pub async fn pause(self) -> Result<Progress, StoreError> {
        self.page_by_page(async |store: S, runs| Ok(store.pause(runs, Pausing::Pause).await?.len())).await
    }

    /// Resumes the paused runs.
    pub async fn resume(self) -> Result<Progress, StoreError> {
        self.page_by_page(async |store: S, runs| Ok(store.pause(runs, Pausing::Resume).await?.len())).await
    }

    /// Changes the queue, the priority or the start of the queued runs.
    pub async fn reschedule(self, change: Reschedule) -> Result<Progress, StoreError> {
        self.page_by_page(async move |store: S, runs| Ok(store.reschedule(runs, change.clone()).await?.len()))
            .await
    }

    async fn one_by_one<Fut>(self, change: impl Fn(S, RunId) -> Fut) -> Result<Progress, StoreError>
    where
        Fut: Future<Output = Result<bool, StoreError>>,
    {
        let change = &change;
        self.page_by_page(async |store: S, runs| {
            let changes = stream::iter(runs).map(|run| change(store.clone(), run));
            let changed = changes.buffer_unordered(AT_ONCE);
            changed.try_fold(0, async |count, changed| Ok(count + usize::from(changed))).await
        })
        .await
    }

    async fn page_by_page(
        mut self,
        change: impl AsyncFn(S, Vec<RunId>) -> Result<usize, StoreError>,
    ) -> Result<Progress, StoreError> {
        let mut progress = Progress::default();
        let mut query = self.query.limit(PAGE);
        loop {
            let page = self.store.list(query.clone()).await?;
            let runs: Vec<_> = page.items.into_iter().map(|RunSummary { run, .. }| run).collect();
            progress.seen += runs.len();
            if !runs.is_empty() {
                progress.changed += change(self.store.clone(), runs).await?;
                (self.on_progress)(progress);
            }
            let Some(next) = page.next else { return Ok(progress) };
            query = query.after(next);
        }
    }
}

impl<S> fmt::Debug for Bulk<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk").field("query", &self.query).finish_non_exhaustive()
    }
}

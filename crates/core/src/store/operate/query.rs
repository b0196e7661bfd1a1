use std::fmt;
use std::sync::Arc;

use super::listed::RunSummary;
use crate::journal::{Key, Status, Timestamp, WaitEntry};
use crate::store::RunId;

/// A query for runs. A new query matches all runs.
///
/// ```
/// use awaitly_core::journal::Status;
/// use awaitly_core::store::RunQuery;
///
/// let failed = RunQuery::new().workflow("checkout").status(Status::Failed).error("declined").limit(20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct RunQuery {
    /// Only runs of this workflow.
    pub workflow: Option<Arc<str>>,
    /// Only runs with one of these statuses. An empty list matches all statuses.
    pub statuses: Vec<Status>,
    /// Only runs that began at or after this moment.
    pub created_from: Option<Timestamp>,
    /// Only runs that began before this moment.
    pub created_before: Option<Timestamp>,
    /// Only runs whose last change of status is before this moment.
    pub changed_before: Option<Timestamp>,
    /// Only runs with an outcome under this key.
    pub key: Option<Key>,
    /// Only runs whose error contains this text, case-sensitively.
    pub error: Option<Box<str>>,
    /// Only runs with this tag.
    pub tag: Option<Arc<str>>,
    /// Only runs in this queue.
    pub queue: Option<Arc<str>>,
    limit: usize,
    /// Only runs after this cursor, the [`next`](super::Page::next) of the previous page.
    pub after: Option<Box<str>>,
}

/// The maximum size of a page; larger limits are reduced to it.
const MOST: usize = 1000;

impl RunQuery {
    /// The maximum size of a page, unless the query sets another.
    pub const DEFAULT_LIMIT: usize = 100;

    /// Creates a query for all runs, with 100 runs per page.
    pub const fn new() -> Self {
        Self {
            workflow: None,
            statuses: Vec::new(),
            created_from: None,
            created_before: None,
            changed_before: None,
            key: None,
            error: None,
            tag: None,
            queue: None,
            limit: Self::DEFAULT_LIMIT,
            after: None,
        }
    }

    /// Restricts the query to runs of this workflow. A later call replaces the workflow.
    pub fn workflow(mut self, workflow: impl Into<Arc<str>>) -> Self {
        self.workflow = Some(workflow.into());
        self
    }

    /// Restricts the query to runs with this status. If the method is called several times, the query matches runs with
    /// any of these statuses.
    ///
    /// ```
    /// use awaitly_core::journal::Status;
    /// use awaitly_core::store::RunQuery;
    ///
    /// let unfinished = RunQuery::new().status(Status::Running).status(Status::Waiting);
    /// assert_eq!(unfinished.statuses, [Status::Running, Status::Waiting]);
    /// ```
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }

    /// Restricts the query to runs with this tag.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Restricts the query to runs in this queue. The default queue has the empty name.
    pub fn queue(mut self, queue: impl Into<Arc<str>>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Restricts the query to runs that began at or after `moment`.
    pub const fn created_from(mut self, moment: Timestamp) -> Self {
        self.created_from = Some(moment);
        self
    }

    /// Restricts the query to runs that began before `moment`.
    ///
    /// ```
    /// use awaitly_core::clock::days;
    /// use awaitly_core::journal::Timestamp;
    /// use awaitly_core::store::RunQuery;
    ///
    /// /// The runs that began on the day that begins at `midnight`.
    /// fn of_day(midnight: Timestamp) -> RunQuery {
    ///     RunQuery::new().created_from(midnight).created_before(midnight.after(days(1)))
    /// }
    /// ```
    pub const fn created_before(mut self, moment: Timestamp) -> Self {
        self.created_before = Some(moment);
        self
    }

    /// Restricts the query to runs whose last change of status is before `moment`.
    ///
    /// ```
    /// use awaitly_core::clock::hours;
    /// use awaitly_core::journal::{Status, Timestamp};
    /// use awaitly_core::store::RunQuery;
    ///
    /// /// The runs that have waited for two hours or longer.
    /// fn neglected(now: Timestamp) -> RunQuery {
    ///     RunQuery::new().status(Status::Waiting).changed_before(now.before(hours(2)))
    /// }
    /// ```
    pub const fn changed_before(mut self, moment: Timestamp) -> Self {
        self.changed_before = Some(moment);
        self
    }

    /// Restricts the query to runs with an outcome under `key`.
    ///
    /// ```
    /// use awaitly_core::journal::Status;
    /// use awaitly_core::store::RunQuery;
    ///
    /// // The customers to pay back: charged, and then failed.
    /// let to_refund = RunQuery::new().key("charge").status(Status::Failed);
    /// ```
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Restricts the query to runs whose error contains `text`, case-sensitively.
    pub fn error(mut self, text: impl Into<Box<str>>) -> Self {
        self.error = Some(text.into());
        self
    }

    /// Sets the maximum number of runs per page, from 1 to 1000. Values outside of this range are clamped.
    ///
    /// # Default
    /// [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT): 100 runs.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::RunQuery;
    ///
    /// assert_eq!(RunQuery::new().page_limit(), RunQuery::DEFAULT_LIMIT);
    /// assert_eq!(RunQuery::new().limit(20).page_limit(), 20);
    /// assert_eq!(RunQuery::new().limit(usize::MAX).page_limit(), 1000);
    /// ```
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MOST);
        self
    }

    /// Returns the maximum number of runs per page.
    #[must_use]
    pub const fn page_limit(&self) -> usize {
        self.limit
    }

    /// Restricts the query to runs after `cursor`, which is the [`next`](super::Page::next) of the previous page.
    pub fn after(mut self, cursor: impl Into<Box<str>>) -> Self {
        self.after = Some(cursor.into());
        self
    }

    /// Returns whether the query matches this run. `has_key` returns whether the journal holds an outcome under a key.
    /// The check ignores the cursor and the limit.
    ///
    /// ```
    /// use awaitly_core::journal::{Header, Status, Timestamp};
    /// use awaitly_core::store::{RunId, RunQuery, RunSummary};
    ///
    /// let header = Header::new("checkout".into(), 1, Status::Failed, Timestamp::from_millis(0));
    /// let run = RunSummary::of(RunId::new("order-42").unwrap(), &header, None);
    /// let charged = |key: &_| *key == "charge".into(); // the only key in its journal
    /// assert!(RunQuery::new().status(Status::Failed).key("charge").asks_for(&run, charged));
    /// assert!(!RunQuery::new().key("ship").asks_for(&run, charged));
    /// ```
    pub fn asks_for(&self, run: &RunSummary, has_key: impl FnOnce(&Key) -> bool) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| *workflow == run.workflow)
            && (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && self.created_from.is_none_or(|from| run.created >= from)
            && self.created_before.is_none_or(|before| run.created < before)
            && self.changed_before.is_none_or(|before| run.changed < before)
            && self
                .error
                .as_deref()
                .is_none_or(|text| run.error.as_ref().is_some_and(|error| error.contains(text)))
            && self.tag.as_ref().is_none_or(|tag| run.tags.contains(tag))
            && self.queue.as_ref().is_none_or(|queue| *queue == run.queue)
            && self.key.as_ref().is_none_or(has_key)
    }
}

impl Default for RunQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// A query for waiting entries. A new query matches all entries.
///
/// ```
/// use awaitly_core::store::{Operate, StoreError, WaitQuery, Waiting};
///
/// /// Finds the question of a link that a manager has opened.
/// async fn find(store: &impl Operate, token: &str) -> Result<Option<Waiting>, StoreError> {
///     let page = store.waiting(WaitQuery::new().token(token).limit(1)).await?;
///     Ok(page.items.into_iter().next())
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct WaitQuery {
    /// Only entries of this run.
    pub run: Option<RunId>,
    /// Only entries under this key.
    pub key: Option<Key>,
    /// Only the entry with this token.
    pub token: Option<Box<str>>,
    limit: usize,
    /// Only entries after this cursor, the [`next`](super::Page::next) of the previous page.
    pub after: Option<Box<str>>,
}

impl WaitQuery {
    /// Creates a query for all waiting entries, with 100 entries per page.
    pub const fn new() -> Self {
        Self { run: None, key: None, token: None, limit: RunQuery::DEFAULT_LIMIT, after: None }
    }

    /// Restricts the query to entries of this run.
    pub fn run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// Restricts the query to entries under this key.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Restricts the query to the entry with this token.
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets the maximum number of entries per page, from 1 to 1000. Values outside of this range are clamped.
    ///
    /// # Default
    /// 100 entries.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MOST);
        self
    }

    /// Returns the maximum number of entries per page.
    #[must_use]
    pub const fn page_limit(&self) -> usize {
        self.limit
    }

    /// Restricts the query to entries after `cursor`, which is the [`next`](super::Page::next) of the previous page.
    pub fn after(mut self, cursor: impl Into<Box<str>>) -> Self {
        self.after = Some(cursor.into());
        self
    }

    /// Returns whether the query matches this entry of `run`. The check ignores the cursor and the limit.
    #[must_use]
    pub fn asks_for(&self, run: &RunId, entry: &WaitEntry) -> bool {
        self.run.as_ref().is_none_or(|asked| asked == run)
            && self.key.as_ref().is_none_or(|key| *key == entry.key)
            && self.token.as_ref().is_none_or(|token| *token == entry.token)
    }
}

impl Default for WaitQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// A query for due runs. A new query matches all due runs.
///
/// ```
/// use awaitly_core::store::DueQuery;
///
/// // The query of a worker that executes two workflows.
/// let ours = DueQuery::new().workflow("checkout").workflow("refund").limit(64);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct DueQuery {
    /// Only runs of one of these workflows. An empty list matches all workflows.
    pub workflows: Vec<Arc<str>>,
    limit: usize,
}

impl DueQuery {
    /// Creates a query for the due runs of all workflows, with a limit of 100.
    pub const fn new() -> Self {
        Self { workflows: Vec::new(), limit: RunQuery::DEFAULT_LIMIT }
    }

    /// Restricts the query to runs of this workflow. If the method is called several times, the query matches runs of
    /// any of these workflows. A worker names its own workflows, so that the due runs of others do not use up the limit.
    pub fn workflow(mut self, workflow: impl Into<Arc<str>>) -> Self {
        self.workflows.push(workflow.into());
        self
    }

    /// Sets the maximum number of runs. A limit of 0 counts as 1.
    ///
    /// # Default
    /// 100 runs.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }

    /// Returns the maximum number of runs.
    #[must_use]
    pub const fn page_limit(&self) -> usize {
        self.limit
    }

    /// Returns whether the query matches runs of this workflow. The check ignores the limit and whether a run is due.
    ///
    /// ```
    /// use awaitly_core::store::DueQuery;
    ///
    /// let query = DueQuery::new().workflow("checkout");
    /// assert!(query.asks_for("checkout") && !query.asks_for("refund"));
    /// assert!(DueQuery::new().asks_for("refund"));
    /// ```
    #[must_use]
    pub fn asks_for(&self, workflow: &str) -> bool {
        self.workflows.is_empty() || self.workflows.iter().any(|asked| **asked == *workflow)
    }
}

impl Default for DueQuery {
    fn default() -> Self {
        Self::new()
    }
}

// The token is a secret, so `Debug` leaves it out.
impl fmt::Debug for WaitQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQuery")
            .field("run", &self.run)
            .field("key", &self.key)
            .field("limit", &self.limit)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Header;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn summary() -> RunSummary {
        let mut header = Header::new("checkout".into(), 1, Status::Failed, at(100));
        header.changed = at(200);
        header.error = Some("100% declined".into());
        RunSummary::of(RunId::new("order-42").unwrap(), &header, None)
    }

    #[test]
    fn query_matches_only_runs_that_meet_all_conditions() {
        let asks = |query: RunQuery| query.asks_for(&summary(), |key| &**key == "charge");
        assert!(asks(RunQuery::new()));
        assert!(asks(RunQuery::new().workflow("checkout").status(Status::Waiting).status(Status::Failed)));
        assert!(asks(RunQuery::new().created_from(at(100)).created_before(at(101)).changed_before(at(201))));
        assert!(asks(RunQuery::new().key("charge").error("0% d")));
        for not in [
            RunQuery::new().workflow("check"),
            RunQuery::new().status(Status::Completed),
            RunQuery::new().created_from(at(101)),
            RunQuery::new().created_before(at(100)),
            RunQuery::new().changed_before(at(200)),
            RunQuery::new().key("ship"),
            RunQuery::new().error("1% d"),
            RunQuery::new().error("Declined"),
        ] {
            assert!(!asks(not.clone()), "{not:?}");
        }
    }

    #[test]
    fn page_limit_is_clamped() {
        assert_eq!(RunQuery::new().limit(0).page_limit(), 1);
        assert_eq!(WaitQuery::new().limit(usize::MAX).page_limit(), 1000);
    }
}

//! What people and engines ask of a store.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{RunId, Store, StoreError, StoredRun, Wakes};
use crate::journal::{Key, LeaseInfo, Outcome, Status, Timestamp, Unanswered, WaitEntry};

/// What can be done with the runs of a store from outside of them.
///
/// Every store of `awaitly-persistence` does all of it. Each call is one commit, and the conformance suite
/// checks each. What is made of several of them, such as a fork or a copy to another store, stands in that
/// crate.
///
/// # Errors
/// Every call can end in what [`StoreError`] says of the store itself.
pub trait Operate: Store {
    /// The runs that `query` asks for, the newest first.
    fn list(&self, query: RunQuery) -> impl Future<Output = Result<Page<RunSummary>, StoreError>> + Send;

    /// The entries that wait for an answer, of runs that have not ended; the newest first. Those whose time is
    /// over are among them.
    fn waiting(&self, query: WaitQuery) -> impl Future<Output = Result<Page<Waiting>, StoreError>> + Send;

    /// The runs that somebody should resume now, by the store's clock, the longest overdue first: running ones
    /// whose lease nobody holds, and waiting ones whose time has come.
    fn due(&self, limit: usize) -> impl Future<Output = Result<Vec<Due>, StoreError>> + Send;

    /// Records an outcome in the place of an entry that waits, where [`settle`](crate::journal::settle) lets
    /// it, and lets a run that waits become due.
    fn answer(&self, answer: Answer) -> impl Future<Output = Result<Answered, StoreError>> + Send;

    /// Cancels a run that nobody executes, or asks its owner to, who learns of it when it renews its lease.
    /// The body of a run that nobody executes is not called: what it would undo stays done, until
    /// [`Workflow::cancel`](crate::Workflow::cancel) lets it.
    fn cancel(&self, run: &RunId) -> impl Future<Output = Result<Cancelled, StoreError>> + Send;

    /// Deletes those of the runs, with all their records, for which `condition` holds and whose lease nobody
    /// holds, and says which.
    fn delete(
        &self,
        runs: Vec<RunId>,
        condition: DeleteIf,
    ) -> impl Future<Output = Result<Vec<RunId>, StoreError>> + Send;

    /// Adds a run as it rested in another store, or as it was made. Nobody holds its lease.
    fn import(
        &self,
        run: RunId,
        stored: StoredRun,
    ) -> impl Future<Output = Result<Imported, StoreError>> + Send;

    /// What time it is, by the clock that the store's moments are read off: that of the machine, where the
    /// store does not say otherwise.
    fn now(&self) -> impl Future<Output = Result<Timestamp, StoreError>> + Send {
        std::future::ready(Ok(Timestamp::from(SystemTime::now())))
    }

    /// Tells from now on when runs may have become due.
    fn wakes(&self) -> Wakes;
}

/// Which runs to list. All of them unless said otherwise.
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
    /// Of this workflow only.
    pub workflow: Option<Arc<str>>,
    /// With one of these statuses only; with any where it is empty.
    pub statuses: Vec<Status>,
    /// That began at or after this moment only.
    pub created_from: Option<Timestamp>,
    /// That began before this moment only.
    pub created_before: Option<Timestamp>,
    /// Whose status changed last before this moment only.
    pub changed_before: Option<Timestamp>,
    /// With an outcome recorded under this key only.
    pub key: Option<Key>,
    /// Whose error holds this text only, letter for letter.
    pub error: Option<Box<str>>,
    /// How many at most.
    pub limit: usize,
    /// Those behind this place only.
    pub after: Option<Cursor>,
}

/// The most that one page holds, whatever a query asks for.
const MOST: usize = 1000;

impl RunQuery {
    /// How many runs a page holds unless the query says otherwise.
    pub const DEFAULT_LIMIT: usize = 100;

    /// All runs, a hundred a page.
    pub const fn new() -> Self {
        Self {
            workflow: None,
            statuses: Vec::new(),
            created_from: None,
            created_before: None,
            changed_before: None,
            key: None,
            error: None,
            limit: Self::DEFAULT_LIMIT,
            after: None,
        }
    }

    /// Of this workflow only.
    pub fn workflow(mut self, workflow: impl Into<Arc<str>>) -> Self {
        self.workflow = Some(workflow.into());
        self
    }

    /// With this status only, or with one of those given before.
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }

    /// That began at or after `moment` only.
    pub const fn created_from(mut self, moment: Timestamp) -> Self {
        self.created_from = Some(moment);
        self
    }

    /// That began before `moment` only.
    pub const fn created_before(mut self, moment: Timestamp) -> Self {
        self.created_before = Some(moment);
        self
    }

    /// Whose status changed last before `moment` only.
    pub const fn changed_before(mut self, moment: Timestamp) -> Self {
        self.changed_before = Some(moment);
        self
    }

    /// With an outcome recorded under `key` only.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Whose error holds `text` only, letter for letter.
    pub fn error(mut self, text: impl Into<Box<str>>) -> Self {
        self.error = Some(text.into());
        self
    }

    /// At most this many a page; 1 at least, 1000 at most.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MOST);
        self
    }

    /// Those behind this place only.
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Whether the query asks for this run; `has_key` says whether a key is recorded. The place and the limit
    /// are not looked at.
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
            && self.key.as_ref().is_none_or(has_key)
    }
}

impl Default for RunQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// Which waiting entries to list. All of them unless said otherwise.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct WaitQuery {
    /// Of this run only.
    pub run: Option<RunId>,
    /// Under this key only.
    pub key: Option<Key>,
    /// With this token only.
    pub token: Option<Box<str>>,
    /// How many at most.
    pub limit: usize,
    /// Those behind this place only.
    pub after: Option<Cursor>,
}

impl WaitQuery {
    /// All entries that wait, a hundred a page.
    pub const fn new() -> Self {
        Self { run: None, key: None, token: None, limit: RunQuery::DEFAULT_LIMIT, after: None }
    }

    /// Of this run only.
    pub fn run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// Under this key only.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this token only.
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// At most this many a page; 1 at least, 1000 at most.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MOST);
        self
    }

    /// Those behind this place only.
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Whether the query asks for this entry. The place and the limit are not looked at.
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

// The token does not belong in logs.
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

/// A place in a list, to go on from. What it holds is the store's own; one of another store is
/// [`StoreError::BadCursor`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// The cursor with that text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text, to hand on to who asks for the next page.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// Where the next part begins. `None`: there is none.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The first `limit` of `items`, with the place behind the last of them where there are more.
    #[must_use]
    pub fn cut(mut items: Vec<T>, limit: usize, place: impl FnOnce(&T) -> Cursor) -> Self {
        let next = if items.len() > limit {
            items.truncate(limit);
            items.last().map(place)
        } else {
            None
        };
        Self { items, next }
    }
}

/// A run, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The run id.
    pub run: RunId,
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The version of the workflow that wrote the journal last.
    pub version: u32,
    /// Where the run stands.
    pub status: Status,
    /// The error of a failed run.
    pub error: Option<Box<str>>,
    /// The keys of the steps that it failed on.
    pub failed_on: Vec<Key>,
    /// When it began.
    pub created: Timestamp,
    /// When its status changed last.
    pub changed: Timestamp,
    /// When a waiting run is to be resumed.
    pub wake: Option<Timestamp>,
    /// Whether somebody executes it, as far as the store can tell: the lease of an owner that died may last a
    /// while longer.
    pub held: bool,
}

impl RunSummary {
    /// What a list shows of a run.
    #[must_use]
    pub fn of(run: RunId, header: &crate::journal::Header, lease: LeaseInfo) -> Self {
        Self {
            run,
            workflow: Arc::clone(&header.workflow),
            version: header.version,
            status: header.status,
            error: header.error.clone(),
            failed_on: header.failed_on.clone(),
            created: header.created,
            changed: header.changed,
            wake: header.wake,
            held: matches!(lease, LeaseInfo::Held(_)),
        }
    }
}

/// An entry that waits, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The run.
    pub run: RunId,
    /// The name of its workflow.
    pub workflow: Arc<str>,
    /// The entry.
    pub entry: WaitEntry,
}

/// A run that should be resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The run.
    pub run: RunId,
    /// The name of its workflow.
    pub workflow: Arc<str>,
    /// The version of the workflow that wrote the journal last.
    pub version: u32,
    /// Since when it is due.
    pub since: Timestamp,
}

impl Due {
    /// Since when a run is due at `now`, if it is.
    #[must_use]
    pub fn since(
        status: Status,
        wake: Option<Timestamp>,
        held_until: Option<Timestamp>,
        changed: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let free = held_until.unwrap_or(changed);
        match status {
            _ if held_until.is_some_and(|until| until > now) => None,
            Status::Running => Some(free),
            Status::Waiting => wake.filter(|wake| *wake <= now),
            Status::Completed | Status::Failed | Status::Cancelled => None,
        }
    }
}

/// An answer from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The run that waits.
    pub run: RunId,
    /// The key under which it waits.
    pub key: Key,
    /// What was given to who answers, where that is checked.
    pub token: Option<Box<str>>,
    /// What is recorded as the outcome of the step.
    pub outcome: Outcome,
}

impl Answer {
    /// An answer to what the run asks under `key`.
    #[must_use]
    pub fn new(run: RunId, key: impl Into<Key>, outcome: Outcome) -> Self {
        Self { run, key: key.into(), token: None, outcome }
    }

    /// Shows the token that came with the question.
    #[must_use]
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        self.token = Some(token.into());
        self
    }
}

// The token does not belong in logs.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("run", &self.run)
            .field("key", &self.key)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Answered {
    /// It is recorded as the outcome of the step.
    Taken,
    /// Nothing was changed.
    Refused(Unanswered),
}

/// What became of cancelling a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Cancelled {
    /// It is cancelled.
    Now,
    /// Somebody executes it, and learns of it when the lease is renewed.
    Requested,
    /// It had ended before, in this status.
    Ended(Status),
    /// There is no such run.
    NoSuchRun,
}

/// Which of the named runs to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteIf {
    /// All whose lease nobody holds.
    Free,
    /// Those that ended before this moment.
    EndedBefore(Timestamp),
}

impl DeleteIf {
    /// Whether a run may be deleted.
    #[must_use]
    pub fn holds(self, status: Status, changed: Timestamp, lease: LeaseInfo) -> bool {
        let free = lease == LeaseInfo::Free;
        match self {
            Self::Free => free,
            Self::EndedBefore(moment) => free && status.has_ended() && changed < moment,
        }
    }
}

/// What became of importing a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Imported {
    /// It is there.
    Added,
    /// A run with that run id is there already, and stayed as it was.
    Exists,
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
        RunSummary::of(RunId::new("order-42").unwrap(), &header, LeaseInfo::Free)
    }

    #[test]
    fn a_query_asks_for_what_all_of_it_holds_for() {
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
    fn a_run_is_due_when_nobody_holds_it_and_its_time_has_come() {
        let since = |status, wake, held| Due::since(status, wake, held, at(5), at(10));
        assert_eq!(since(Status::Running, None, None), Some(at(5)));
        assert_eq!(since(Status::Running, None, Some(at(10))), Some(at(10)));
        assert_eq!(since(Status::Running, None, Some(at(11))), None);
        assert_eq!(since(Status::Waiting, None, None), None);
        assert_eq!(since(Status::Waiting, Some(at(10)), None), Some(at(10)));
        assert_eq!(since(Status::Waiting, Some(at(11)), None), None);
        assert_eq!(since(Status::Waiting, Some(at(9)), Some(at(12))), None);
        for ended in [Status::Completed, Status::Failed, Status::Cancelled] {
            assert_eq!(since(ended, Some(at(1)), None), None);
        }
    }

    #[test]
    fn a_page_that_is_full_says_where_the_next_begins() {
        let place = |item: &u32| Cursor::new(item.to_string());
        assert_eq!(
            Page::cut(vec![3, 2, 1], 2, place),
            Page { items: vec![3, 2], next: Some(Cursor::new("2")) }
        );
        assert_eq!(Page::cut(vec![3, 2], 2, place), Page { items: vec![3, 2], next: None });
    }

    #[test]
    fn a_limit_is_never_nothing_and_never_everything() {
        assert_eq!(RunQuery::new().limit(0).limit, 1);
        assert_eq!(WaitQuery::new().limit(usize::MAX).limit, 1000);
    }
}

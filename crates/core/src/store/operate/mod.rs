//! The operations on runs that people and engines use.

mod answer;
mod listed;
mod page;
mod query;

use std::future::Future;
use std::time::{Duration, SystemTime};

pub use answer::Answer;
pub use listed::{Due, RunSummary, Waiting};
pub use page::Page;
pub use query::{DueQuery, RunQuery, WaitQuery};

use super::{RunId, Store, StoreError, StoredRun, Wakes};
use crate::journal::{Header, Status, Timestamp, Unanswered};

/// Operations on the runs of a store that come from outside of the runs: from people, workers and other programs.
///
/// Every store of `awaitly-persistence` implements all of them, and its conformance suite checks each call. Each call
/// is one commit. `awaitly-persistence` also has the operations that need several calls, such as a fork or a copy to
/// another store.
///
/// # Errors
/// Every call can return the failures of the store itself; see [`StoreError`]. `answer` and `import` return
/// [`StoreError::Unstorable`] if the store cannot keep the answer or the run, for example because it is too large.
/// `list` and `waiting` return [`StoreError::BadCursor`] if the cursor does not name a place in the list.
///
/// # Cancel safety
/// If the future is dropped, the call may or may not take effect, but never in part.
pub trait Operate: Store {
    /// Returns the runs that match `query`, newest first.
    ///
    /// ```
    /// use awaitly_core::store::{Operate, RunQuery, StoreError};
    ///
    /// /// Prints all runs of a workflow, page by page.
    /// async fn print_all(store: &impl Operate, workflow: &str) -> Result<(), StoreError> {
    ///     let mut query = RunQuery::new().workflow(workflow);
    ///     loop {
    ///         let page = store.list(query.clone()).await?;
    ///         page.items.iter().for_each(|run| println!("{} {}", run.run, run.status));
    ///         let Some(next) = page.next else { return Ok(()) };
    ///         query = query.after(next);
    ///     }
    /// }
    /// ```
    fn list(&self, query: RunQuery) -> impl Future<Output = Result<Page<RunSummary>, StoreError>> + Send;

    /// Returns the entries that wait for an answer and match `query`, newest first, if their runs have not ended.
    /// Expired entries are included.
    ///
    /// ```
    /// use awaitly_core::store::{Operate, StoreError, WaitQuery};
    ///
    /// /// Prints the questions for the manager.
    /// async fn print_open(store: &impl Operate) -> Result<(), StoreError> {
    ///     for waiting in store.waiting(WaitQuery::new().key("manager")).await?.items {
    ///         println!("{}: {}", waiting.run, waiting.entry.request.as_str());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    fn waiting(&self, query: WaitQuery) -> impl Future<Output = Result<Page<Waiting>, StoreError>> + Send;

    /// Returns the runs that match `query` and are due by the store's clock, longest overdue first: running runs with a
    /// free lease, and waiting runs whose time has come.
    ///
    /// ```
    /// use awaitly_core::store::{DueQuery, Operate};
    /// use awaitly_core::{DurableRun, RunError, Workflow};
    ///
    /// # async fn place_order(_run: &DurableRun) -> Result<u32, RunError> { Ok(7) }
    /// /// Resumes the interrupted orders, for example when the program starts.
    /// async fn resume_all(store: &impl Operate, checkout: &Workflow) -> Result<(), RunError> {
    ///     for order in store.due(DueQuery::new().workflow(checkout.name())).await? {
    ///         checkout.run(order.run.to_shared(), async |run| place_order(run).await).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    fn due(&self, query: DueQuery) -> impl Future<Output = Result<Vec<Due>, StoreError>> + Send;

    /// Records an outcome in place of a waiting entry, if [`settle`](crate::journal::settle) allows it. A waiting run
    /// then becomes due. If `settle` refuses the answer, the call returns `Ok(Err(reason))` and changes no data.
    ///
    /// ```
    /// use awaitly_core::journal::{Outcome, Payload};
    /// use awaitly_core::store::{Answer, Operate, RunId, StoreError};
    ///
    /// /// Approves the refund of an order. Returns whether the run had waited for it.
    /// async fn approve(store: &impl Operate, order: RunId, token: &str) -> Result<bool, StoreError> {
    ///     let yes = Outcome::Value(Payload::from_stored("true"));
    ///     let answered = store.answer(Answer::new(order, "manager", yes).token(token)).await?;
    ///     Ok(answered.is_ok())
    /// }
    /// ```
    fn answer(
        &self,
        answer: Answer,
    ) -> impl Future<Output = Result<Result<(), Unanswered>, StoreError>> + Send;

    /// Requests the cancellation of a run that has not ended. The run may be executed here or elsewhere, interrupted,
    /// asleep, waiting, or in the middle of an undo. If its body has declared that it is
    /// [too late to cancel](crate::Run::too_late_to_cancel) the run, returns [`Cancelled::TooLate`] and does not keep
    /// the request, unless an earlier request came before the declaration.
    ///
    /// The request stays until the body has undone its work. The owner of a run learns of it at the next renewal of the
    /// lease: within a third of the lease, by default 10 seconds. A run without an owner becomes [due](Self::due). In
    /// the next execution, recorded steps return their outcomes, the first other step ends in
    /// [`RunError::Cancelled`](crate::RunError::Cancelled), sagas undo their steps, and the run becomes
    /// [`Status::Cancelled`]. [`Workflow::cancel`](crate::Workflow::cancel) does all of this at once.
    ///
    /// If the body returns a value nevertheless, the run completes. If a compensation fails, the run fails.
    ///
    /// ```
    /// use awaitly_core::store::{Cancelled, Operate, RunId, StoreError};
    ///
    /// async fn cancel_order(store: &impl Operate, order: &RunId) -> Result<&'static str, StoreError> {
    ///     Ok(match store.cancel(order).await? {
    ///         Cancelled::Requested => "your order is being cancelled",
    ///         Cancelled::TooLate | Cancelled::Ended(_) => "your order can no longer be cancelled",
    ///         _ => "we do not know this order",
    ///     })
    /// }
    /// ```
    fn cancel(&self, run: &RunId) -> impl Future<Output = Result<Cancelled, StoreError>> + Send;

    /// Marks a run as cancelled without calling its body. **The effects of its steps stay**, and its compensations
    /// never run. Use it only for runs whose code is gone or must not run; in any other case, use
    /// [`cancel`](Self::cancel).
    ///
    /// If an owner holds the lease, the store leaves the run unchanged and returns [`Cancelled::Held`].
    ///
    /// ```
    /// use awaitly_core::store::{Cancelled, DueQuery, Operate, StoreError};
    ///
    /// /// Ends the due runs of a workflow whose code is gone. Returns their number.
    /// async fn end_all(store: &impl Operate, workflow: &str) -> Result<usize, StoreError> {
    ///     let mut ended = 0;
    ///     for due in store.due(DueQuery::new().workflow(workflow)).await? {
    ///         ended += usize::from(store.cancel_without_undo(&due.run).await? == Cancelled::WithoutUndo);
    ///     }
    ///     Ok(ended)
    /// }
    /// ```
    fn cancel_without_undo(&self, run: &RunId) -> impl Future<Output = Result<Cancelled, StoreError>> + Send;

    /// Deletes each of `runs` that meets `condition` and has a free lease, with all its records. Returns the deleted
    /// runs.
    ///
    /// ```
    /// use awaitly_core::clock::days;
    /// use awaitly_core::store::{DeleteIf, Operate, RunId, StoreError};
    ///
    /// /// Deletes each of `orders` that ended more than 90 days ago.
    /// async fn delete_old(store: &impl Operate, orders: Vec<RunId>) -> Result<Vec<RunId>, StoreError> {
    ///     let cutoff = store.now().await?.before(days(90));
    ///     store.delete(orders, DeleteIf::EndedBefore(cutoff)).await
    /// }
    /// ```
    fn delete(
        &self,
        runs: Vec<RunId>,
        condition: DeleteIf,
    ) -> impl Future<Output = Result<Vec<RunId>, StoreError>> + Send;

    /// Adds a run from another store, or a run made from scratch. The lease of the new run is free. Returns `true` if
    /// the run was added, and `false` if the store already has a run with this id, which then stays unchanged.
    ///
    /// # Errors
    /// Returns [`StoreError::AlreadyRecorded`] if two records of `stored` have one key.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::{Operate, RunId, StoreError};
    ///
    /// /// Copies a run to another store. Returns whether that store has a new run now.
    /// async fn copy(from: &impl Operate, to: &impl Operate, run: RunId) -> Result<bool, StoreError> {
    ///     let Some(stored) = from.load(&run).await? else { return Ok(false) };
    ///     to.import(run, stored).await
    /// }
    /// ```
    fn import(&self, run: RunId, stored: StoredRun) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Returns the current time by the clock of the store's timestamps, after the writes and the releases before the call.
    /// A process that ends calls it to be sure that its leases are free. By default, this is the clock of the machine.
    fn now(&self) -> impl Future<Output = Result<Timestamp, StoreError>> + Send {
        std::future::ready(Ok(Timestamp::from(SystemTime::now())))
    }

    /// Returns a receiver of notifications about changes after which a run may be due. It does not report the passing
    /// of time. Only [`due`](Self::due) shows a sleep that is over, an expired question or an expired lease, so also
    /// call `due` at intervals.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use awaitly_core::clock::mins;
    /// use awaitly_core::store::Operate;
    ///
    /// /// Waits until runs may be due: after a change in the store, or after a minute.
    /// async fn next_look(store: &impl Operate) {
    ///     let mut wakes = store.wakes();
    ///     let _ = tokio::time::timeout(mins(1), wakes.changed()).await;
    /// }
    /// ```
    fn wakes(&self) -> Wakes;
}

/// The result of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Cancelled {
    /// The store keeps the request, and the run undoes its work.
    Requested,
    /// The run is cancelled without an undo. [`cancel`](Operate::cancel) returns it for a queued run, which has no work
    /// to undo.
    WithoutUndo,
    /// The body declared that it is [too late](crate::Run::too_late_to_cancel) to cancel the run.
    TooLate,
    /// An owner holds the lease, so the store left the run unchanged. Only
    /// [`cancel_without_undo`](Operate::cancel_without_undo) returns it.
    Held,
    /// The run had ended already, with this status.
    Ended(Status),
    /// There is no such run.
    NoSuchRun,
}

/// The way to cancel a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelling {
    /// As [`Operate::cancel`] does.
    Request,
    /// As [`Operate::cancel_without_undo`] does.
    WithoutUndo,
}

impl Cancelling {
    /// Decides the result of a cancellation for a run with this header. `lease` is the remaining time of the lease, if
    /// an owner holds it. `is_too_late` states whether the journal holds an outcome under
    /// [`Key::TOO_LATE_TO_CANCEL`](crate::journal::Key::TOO_LATE_TO_CANCEL). The store changes the run only if the
    /// result is [`Cancelled::Requested`] or [`Cancelled::WithoutUndo`].
    ///
    /// ```
    /// use awaitly_core::clock::secs;
    /// use awaitly_core::journal::{Header, Status, Timestamp};
    /// use awaitly_core::store::{Cancelled, Cancelling};
    ///
    /// let header = Header::new("checkout".into(), 1, Status::Running, Timestamp::from_millis(0));
    /// let lease = Some(secs(9)); // another process executes the run
    /// assert_eq!(Cancelling::Request.decide(&header, lease, false), Cancelled::Requested);
    /// assert_eq!(Cancelling::WithoutUndo.decide(&header, lease, false), Cancelled::Held);
    /// assert_eq!(Cancelling::Request.decide(&header, lease, true), Cancelled::TooLate);
    /// ```
    pub fn decide(self, header: &Header, lease: Option<Duration>, is_too_late: bool) -> Cancelled {
        match (self, header.status, lease) {
            (_, status, _) if status.has_ended() => Cancelled::Ended(status),
            // A request that came before the declaration stays valid.
            (Self::Request, ..) if is_too_late && !header.cancel_requested => Cancelled::TooLate,
            // It has no work to undo.
            (_, Status::Queued, None) => Cancelled::WithoutUndo,
            (Self::Request, ..) => Cancelled::Requested,
            (Self::WithoutUndo, _, Some(_)) => Cancelled::Held,
            (Self::WithoutUndo, _, None) => Cancelled::WithoutUndo,
        }
    }
}

/// The condition under which a deletion includes a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteIf {
    /// The lease is free.
    Free,
    /// The run ended before this moment, and its lease is free.
    EndedBefore(Timestamp),
}

impl DeleteIf {
    /// Returns whether a run meets the condition. `changed` is the time at which its status changed last, and `lease`
    /// is the remaining time of its lease, if an owner holds it.
    ///
    /// ```
    /// use awaitly_core::journal::{Status, Timestamp};
    /// use awaitly_core::store::DeleteIf;
    ///
    /// let cutoff = DeleteIf::EndedBefore(Timestamp::from_millis(1_000));
    /// let changed = Timestamp::from_millis(900);
    /// assert!(cutoff.holds(Status::Completed, changed, None));
    /// assert!(!cutoff.holds(Status::Waiting, changed, None));
    /// ```
    #[must_use]
    pub fn holds(self, status: Status, changed: Timestamp, lease: Option<Duration>) -> bool {
        let free = lease.is_none();
        match self {
            Self::Free => free,
            Self::EndedBefore(moment) => free && status.has_ended() && changed < moment,
        }
    }
}

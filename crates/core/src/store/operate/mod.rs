//! What people and engines ask of a store.

mod answer;
mod listed;
mod page;
mod query;

use std::future::Future;
use std::time::SystemTime;

pub use answer::{Answer, Answered};
pub use listed::{Due, RunSummary, Waiting};
pub use page::{Cursor, Page};
pub use query::{DueQuery, RunQuery, WaitQuery};

use super::{RunId, Store, StoreError, StoredRun, Wakes};
use crate::journal::{Header, LeaseInfo, Status, Timestamp};

/// What can be done with the runs of a store from outside of them.
///
/// Every store of `awaitly-persistence` does all of it; the conformance suite checks each call. Each call is one
/// commit. That crate also has the operations that take several calls, such as a fork or a copy to another store.
///
/// # Errors
/// Every call can end in what [`StoreError`] says of the store itself. An answer or a run that the store cannot keep,
/// for instance because it is too large, is [`StoreError::Unstorable`]; a cursor that is no place in a list is
/// [`StoreError::BadCursor`].
///
/// # Cancel safety
/// A call whose future is dropped may still happen, whole, or not at all.
pub trait Operate: Store {
    /// The runs that `query` asks for, the newest first.
    fn list(&self, query: RunQuery) -> impl Future<Output = Result<Page<RunSummary>, StoreError>> + Send;

    /// The entries that wait for an answer, of runs that have not ended; the newest first. Those whose time is
    /// over are among them.
    fn waiting(&self, query: WaitQuery) -> impl Future<Output = Result<Page<Waiting>, StoreError>> + Send;

    /// Those of the runs that `query` asks for which somebody should resume now, by the store's clock, the longest
    /// overdue first: running ones whose lease nobody holds, and waiting ones whose time has come.
    fn due(&self, query: DueQuery) -> impl Future<Output = Result<Vec<Due>, StoreError>> + Send;

    /// Records an outcome in the place of an entry that waits, where [`settle`](crate::journal::settle) lets
    /// it, and lets a run that waits become due.
    fn answer(&self, answer: Answer) -> impl Future<Output = Result<Answered, StoreError>> + Send;

    /// Asks for a run to be cancelled, in whatever state it is: executed here or elsewhere, interrupted, asleep, waiting,
    /// or in the middle of an undo.
    ///
    /// The request stays until the body has undone its work. The owner of a run learns of it when it renews its lease:
    /// within a third of the lease, 10 seconds unless set. A run without an owner becomes [due](Self::due). The next
    /// execution finds the recorded steps, the first other step ends in
    /// [`RunError::Cancelled`](crate::RunError::Cancelled), sagas undo, and then the run is
    /// [`Status::Cancelled`]. [`Workflow::cancel`](crate::Workflow::cancel) does that at once.
    ///
    /// A run whose body returns a value all the same completes, and one in which something could not be undone fails.
    fn cancel(&self, run: &RunId) -> impl Future<Output = Result<Cancelled, StoreError>> + Send;

    /// Marks a run as cancelled whose body cannot or must not be called any more. **Nothing is undone**: the effects of
    /// its steps stay, and its compensations never run. It is for runs whose code is gone; in any other case, use
    /// [`cancel`](Self::cancel).
    ///
    /// A run that an owner holds is left alone: [`Cancelled::Held`].
    fn cancel_without_undo(&self, run: &RunId) -> impl Future<Output = Result<Cancelled, StoreError>> + Send;

    /// Deletes each of `runs` that meets `condition` and whose lease nobody holds, with all its records. Returns
    /// those that it deleted.
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

    /// Tells from now on when somebody changed a run so that it may have become due. It tells nothing of time: a
    /// sleep that is over, an answer that is too late or a lease that ran out shows in [`due`](Self::due) alone,
    /// which is to be asked now and then as well.
    fn wakes(&self) -> Wakes;
}

/// What became of cancelling a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Cancelled {
    /// The store keeps the request, and the run undoes its work.
    Requested,
    /// It is cancelled, and nothing was undone: by [`cancel_without_undo`](Operate::cancel_without_undo) alone.
    WithoutUndo,
    /// Its body declared that it is [too late](crate::Run::too_late_to_cancel) for that.
    TooLate,
    /// An owner holds it, so it was not marked.
    Held,
    /// It had ended before, in this status.
    Ended(Status),
    /// There is no such run.
    NoSuchRun,
}

/// How to cancel a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelling {
    /// [`Operate::cancel`]
    Request,
    /// [`Operate::cancel_without_undo`]
    WithoutUndo,
}

impl Cancelling {
    /// Decides what becomes of it, for a run with this header. `is_too_late`: the journal holds
    /// [`Key::TOO_LATE_TO_CANCEL`](crate::journal::Key::TOO_LATE_TO_CANCEL). Only [`Cancelled::Requested`] and
    /// [`Cancelled::WithoutUndo`] change the run.
    pub fn decide(self, header: &Header, lease: LeaseInfo, is_too_late: bool) -> Cancelled {
        match (self, header.status, lease) {
            (_, status, _) if status.has_ended() => Cancelled::Ended(status),
            // A request that came before the declaration stands.
            (Self::Request, ..) if is_too_late && !header.cancel_requested => Cancelled::TooLate,
            (Self::Request, ..) => Cancelled::Requested,
            (Self::WithoutUndo, _, LeaseInfo::Held(_)) => Cancelled::Held,
            (Self::WithoutUndo, _, LeaseInfo::Free) => Cancelled::WithoutUndo,
        }
    }
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

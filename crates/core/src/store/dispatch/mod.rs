//! The operations of clients and workers.

mod claim;
mod mail;
mod published;
mod queues;
mod schedules;
mod standing;
mod submit;
mod within;

use std::future::Future;
use std::sync::Arc;

pub use claim::{Claim, Claimed, Held, Served};
pub use mail::{Message, Unsent};
pub use published::{Publish, StreamPart};
pub use queues::{Configure, Pausing, QueueState, Reschedule};
pub use schedules::{PutSchedule, ScheduleQuery, StoredSchedule};
pub use standing::Standing;
pub use submit::{Start, Submit, Submitted, Unique};
pub use within::SubmitWithin;

use super::{Lease, Operate, RunId, StoreError};
use crate::dispatch::Queue;
use crate::journal::{Header, Key, Outcome, Payload, Refused};

/// The operations of clients and workers: clients submit runs, and workers claim them.
///
/// A submitted run is [queued](crate::journal::Status::Queued) until a worker claims it. A claim also takes runs that
/// are due for another reason: their owner died, their question was answered, their sleep is over. The rules are pure
/// functions in [`dispatch`](crate::dispatch).
///
/// No call needs an atomic commit over two runs. If a call changes several runs, a store may commit the change of each
/// run separately, or several changes together. Therefore a replicated log can implement this trait, too.
///
/// # Errors
/// Every call can return the failures of the store itself; see [`StoreError`]. `submit` returns
/// [`StoreError::Unstorable`] if the store cannot keep one of the runs, for example because its input is too large.
///
/// # Cancel safety
/// If the future is dropped, the call may or may not take effect. A dropped claim releases the leases it took.
pub trait Dispatch: Operate {
    /// Adds queued runs, and returns a result for each of them, in their order. If the call returns `Ok`, the added
    /// runs are durable.
    ///
    /// The run id is the idempotency key. If the run exists with an equal workflow and input, the result is
    /// [`Submitted::Exists`]. If they differ, it is [`Refused`]. If the batch contains an id twice, the first run
    /// exists for the second one.
    ///
    /// If a queued run of the queue has the [deduplication key](Unique) of a submitted run, the result is
    /// [`Submitted::Duplicate`]. The store checks the run id before the deduplication key.
    ///
    /// ```
    /// use awaitly_core::store::{Dispatch, Input, RunId, StoreError, Submit, Submitted};
    ///
    /// /// Submits an order. Returns `false` if it was submitted before.
    /// async fn submit(store: &impl Dispatch, order: RunId, cart: Input) -> Result<bool, StoreError> {
    ///     let submit = Submit::new(order, "checkout").input(cart).queue("orders");
    ///     let results = store.submit(vec![submit]).await?;
    ///     Ok(matches!(results.first(), Some(Ok(Submitted::Queued))))
    /// }
    /// ```
    fn submit(
        &self,
        batch: Vec<Submit>,
    ) -> impl Future<Output = Result<Vec<Result<Submitted, Refused>>, StoreError>> + Send;

    /// Takes the leases of due runs of the served workflows, and returns them with their journals.
    ///
    /// The claim takes at most [`limit`](Claim::limit) runs. It visits the queues in turn, and takes the due runs of
    /// each queue by rank, if the [`Allowance`](crate::dispatch::Allowance) of the queue admits them. It takes no run
    /// of a paused queue. If it is too late to [start](crate::dispatch::Place::start_by) a queued run, the claim ends
    /// the run as [cancelled](crate::journal::Status::Cancelled), and does not return it.
    ///
    /// If a claimed run was queued, its status becomes running. If it was waiting, it keeps its status until
    /// [`revive`](super::Store::revive), as after [`open`](super::Store::open). The claim need not survive a loss of
    /// power: if the store loses it, the run is due again, and no later lease gets the token of the lost one.
    ///
    /// ```
    /// use awaitly_core::store::{Claim, Dispatch, Owner, StoreError};
    ///
    /// /// Takes up to 64 orders.
    /// async fn claim(store: &impl Dispatch) -> Result<(), StoreError> {
    ///     let claimed = store.claim(Claim::new(Owner::unique()).serve("checkout", 1).limit(64)).await?;
    ///     for held in &claimed.runs {
    ///         println!("{} has {} records", held.lease.run(), held.run.records.len());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    fn claim(&self, claim: Claim) -> impl Future<Output = Result<Claimed, StoreError>> + Send;

    /// Returns the headers of runs, in their order; `None` for a run that does not exist.
    ///
    /// The default implementation loads each run. A store should read all headers in one round trip, because the
    /// handles of a client wait for their runs with this call.
    fn headers(
        &self,
        runs: Vec<RunId>,
    ) -> impl Future<Output = Result<Vec<Option<Header>>, StoreError>> + Send {
        async move {
            let mut headers = Vec::with_capacity(runs.len());
            for run in runs {
                headers.push(self.load(&run).await?.map(|run| run.header));
            }
            Ok(headers)
        }
    }

    /// Returns the place of a run in the line of its queue, or the owner that holds it. Returns `None` if the run is not
    /// due and not held: it has ended, is paused, waits, may only start later, or does not exist.
    ///
    /// The place is a snapshot, and a limit of the queue may let other runs pass. A run that becomes due
    /// after its submission may count only from the next claim on.
    ///
    /// ```
    /// use awaitly_core::store::{Dispatch, RunId, Standing, StoreError};
    ///
    /// async fn describe(store: &impl Dispatch, order: &RunId) -> Result<String, StoreError> {
    ///     Ok(match store.standing(order).await? {
    ///         Some(Standing::InLine { ahead, .. }) => format!("{ahead} runs are ahead"),
    ///         Some(Standing::Held { owner }) => format!("{owner} executes it"),
    ///         None => "it is not due".to_owned(),
    ///     })
    /// }
    /// ```
    fn standing(&self, run: &RunId) -> impl Future<Output = Result<Option<Standing>, StoreError>> + Send;

    /// Sends messages to runs, and returns a result for each, in their order. If the call returns `Ok`, the sent
    /// messages are durable.
    ///
    /// A message makes a waiting run due. If the run already got a message with an equal id, the store ignores the
    /// message, and its result is `Ok`.
    fn send(
        &self,
        messages: Vec<Message>,
    ) -> impl Future<Output = Result<Vec<Result<(), Unsent>>, StoreError>> + Send;

    /// Takes the oldest message of a mailbox, and records it under `key` as a [value](Outcome::Value), in one commit.
    /// If an entry waits under the key, the record replaces it. If the key has a recorded outcome, the call takes no
    /// message, and returns that outcome. Returns `None` if the mailbox is empty.
    ///
    /// If a message comes after a run found its mailbox empty and before the run [waits](super::Ending::waits_on), the
    /// run is due as soon as it waits.
    fn receive(
        &self,
        lease: &Lease,
        mailbox: Arc<str>,
        key: Key,
    ) -> impl Future<Output = Result<Option<Outcome>, StoreError>> + Send;

    /// Publishes values and items of streams. See [`Publish::index`] for the items that the store ignores.
    ///
    /// # Errors
    /// Returns [`StoreError::Unstorable`] if a value or an item is too large, if a stream is full, or if an item is not
    /// the next one of its stream.
    fn publish(
        &self,
        lease: &Lease,
        published: Vec<Publish>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the value that a run published under `name`, if there is one.
    fn published(
        &self,
        run: &RunId,
        name: Arc<str>,
    ) -> impl Future<Output = Result<Option<Payload>, StoreError>> + Send;

    /// Returns the items of a stream from the index `from` on, at most `limit` and at most 1000. Returns `None` if
    /// there is no such run. A stream without items is empty.
    fn stream(
        &self,
        run: &RunId,
        stream: Arc<str>,
        from: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Option<StreamPart>, StoreError>> + Send;

    /// Returns the schedules that match `query`, in the order of their names.
    fn schedules(
        &self,
        query: ScheduleQuery,
    ) -> impl Future<Output = Result<Vec<StoredSchedule>, StoreError>> + Send;

    /// Adds, changes or deletes schedules. Returns for each change whether the store made it. The store refuses a
    /// change if the stored version differs from the version on which the change is based.
    fn put_schedules(
        &self,
        changes: Vec<PutSchedule>,
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Sets the settings of queues. They apply from the next claim on.
    fn configure(
        &self,
        queues: Vec<Queue>,
        configure: Configure,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the queues that have settings or are paused, in the order of their names, at most 1000.
    fn queues(&self) -> impl Future<Output = Result<Vec<QueueState>, StoreError>> + Send;

    /// Pauses or resumes queues. A paused queue accepts runs, but claims take none of them. Running runs continue.
    fn pause_queues(
        &self,
        queues: Vec<Arc<str>>,
        pausing: Pausing,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Pauses or resumes runs, and returns the changed ones. A paused run is not due, so no worker claims it. An
    /// execution in progress continues until the run waits or ends. The call does not change a run that has ended, that
    /// does not exist, or that is in the wanted state already.
    fn pause(
        &self,
        runs: Vec<RunId>,
        pausing: Pausing,
    ) -> impl Future<Output = Result<Vec<RunId>, StoreError>> + Send;

    /// Changes the queue, the priority or the start of queued runs, and returns the changed ones. The call does not
    /// change other runs. In a fair queue, each changed run ranks behind the runs of its key.
    fn reschedule(
        &self,
        runs: Vec<RunId>,
        change: Reschedule,
    ) -> impl Future<Output = Result<Vec<RunId>, StoreError>> + Send;
}

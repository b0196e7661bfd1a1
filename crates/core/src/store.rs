//! Stores of journals: the trait [`Store`], and the types of its calls.
//!
//! A store keeps runs and their records, and gives one owner at a time the right to write a run. This right is a
//! [`Lease`]: it lasts for a limited time, is renewed while the run is executed, and carries a token that grows with
//! each new lease of the run. The store refuses a write with an older token, so an owner that was frozen and replaced
//! can no longer write.
//!
//! The rules are pure functions: [`journal::admit`](crate::journal::admit), [`journal::settle`](crate::journal::settle)
//! and [`Cancelling::decide`] decide which changes are allowed. A store only carries out their decisions, each in one
//! commit that succeeds only if the state behind the decision is still current.
//!
//! A run uses [`Store`]. People and engines use [`Operate`]: it lists runs, lists waiting entries, accepts answers from
//! outside, and cancels, deletes and imports runs. Clients and workers use [`Dispatch`]: it adds runs to queues, and
//! takes the due ones. A type that implements [`Around`] is a store that wraps another store.

mod any;
pub mod around;
mod dispatch;
mod error;
mod lease;
mod operate;
mod table;
mod transactional;
mod wakes;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use any::AnyStore;
pub use around::Around;
pub use dispatch::{
    Claim, Claimed, Configure, Dispatch, Held, Message, Pausing, Publish, PutSchedule, QueueState,
    Reschedule, ScheduleQuery, Served, Standing, Start, StoredSchedule, StreamPart, Submit, SubmitWithin,
    Submitted, Unique, Unsent,
};
pub use error::StoreError;
pub use lease::Lease;
pub use operate::{
    Answer, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Operate, Page, RunQuery, RunSummary, WaitQuery,
    Waiting,
};
pub(crate) use transactional::Back;
pub use transactional::{OnRecorded, Transactional, Tx};
pub use wakes::{Bell, Wakes};

pub use crate::journal::ending::Ending;
pub use crate::journal::open::{Input, Open, Owner, Purpose};
pub use crate::journal::run_id::{InvalidRunId, RunId};
use crate::journal::{
    Contents, Header, Key, Outcome, Payload, Record, Refused, Settling, Timestamp, WaitEntry,
};

/// A storage for journals.
///
/// Implementations must keep these promises, and the conformance suite in `awaitly-persistence` checks each of them:
///
/// - A write whose future returned `Ok` is durable, to the level that [`durability`](Self::durability) names. A write
///   with [`Durability::Batched`] survives the end of the process, and no later write is ever present without it.
/// - Each call is one commit: it takes effect completely or has no effect, even if its future is dropped.
/// - One owner at a time holds a lease, its time runs by the store's clock, and a write or renewal with an older token
///   than the run's fails with [`StoreError::LeaseLost`].
/// - A run records a key once: a second record fails with [`StoreError::AlreadyRecorded`].
/// - Records come back in the order in which they were appended.
///
/// Implementors may write `async fn`. The calls of one run come sequentially or concurrently. The calls of many runs
/// come concurrently, and a store may combine them into one commit.
///
/// # Errors
/// Every call can return the failures of the store itself: [`Full`](StoreError::Full),
/// [`ReadOnly`](StoreError::ReadOnly), [`NotThere`](StoreError::NotThere), [`Unavailable`](StoreError::Unavailable),
/// [`Corrupt`](StoreError::Corrupt) and [`Closed`](StoreError::Closed). In these cases the store did no part of the
/// call or, if only its answer was lost, all of it. A value that the store cannot keep, for example because it is too
/// large, returns [`Unstorable`](StoreError::Unstorable), and a run written by a newer version of the library returns
/// [`NewerFormat`](StoreError::NewerFormat). Both leave the store unchanged. Every call with a lease can return
/// [`LeaseLost`](StoreError::LeaseLost). `append`, `wait` and `rewrite` can return
/// [`AlreadyRecorded`](StoreError::AlreadyRecorded), and `rewrite` can return [`Answered`](StoreError::Answered).
///
/// # Examples
/// A page that shows an order reads its journal, without a lease:
///
/// ```
/// use awaitly_core::store::{RunId, Store, StoreError};
///
/// async fn charged(store: &impl Store, order: &RunId) -> Result<Option<u64>, StoreError> {
///     let Some(run) = store.load(order).await? else { return Ok(None) };
///     let charge = run.records.iter().find(|record| *record.key == *"charge");
///     Ok(charge.and_then(|record| record.outcome.payload().decode().ok()))
/// }
/// ```
pub trait Store: Send + Sync + 'static {
    /// Opens a run. Asks [`admit`](crate::journal::admit) and carries out its decision. If the decision permits it, the
    /// store takes the lease and loads the whole journal. Otherwise, the store leaves an existing run unchanged, with
    /// one exception: if another owner holds the lease, it keeps a request to cancel, as [`Purpose::Cancel`] explains.
    ///
    /// A lease with a `ttl` of zero expires at once, so the next request may take the run.
    ///
    /// # Cancel safety
    /// If the future is dropped, the store releases the lease it took.
    fn open(&self, request: Open) -> impl Future<Output = Result<Opened, StoreError>> + Send;

    /// Adds a record to the journal that `lease` is for.
    fn append(
        &self,
        lease: &Lease,
        record: Record,
        durability: Durability,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Replaces the record under the key of `record`, or adds `record` if there is none.
    fn replace(
        &self,
        lease: &Lease,
        record: Record,
        durability: Durability,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Adds an entry that waits for an answer from outside. If an entry under its key waits already, that entry stays
    /// unchanged. If an outcome is recorded under the key, returns [`StoreError::AlreadyRecorded`].
    fn wait(&self, lease: &Lease, wait: Wait) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Replaces the entry that waits under the key of `record` with `record`, if [`settle`](crate::journal::settle)
    /// allows it. Returns the outcome that the journal then holds: the outcome of `record`, or of an earlier answer.
    /// Returns `None` if the entry still waits or does not exist.
    fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> impl Future<Output = Result<Option<Outcome>, StoreError>> + Send;

    /// Sets a waiting or ended run back to running. Clears its outcome, its error and its list of failed steps, and
    /// drops the records under the keys `drop`. Waiting entries stay.
    fn revive(&self, lease: &Lease, drop: Vec<Key>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Replaces the contents of the journal with `rewrite`, and sets the version of the workflow. If other entries wait
    /// now than when the journal was read, returns [`StoreError::Answered`] and changes no data.
    fn rewrite(&self, lease: &Lease, rewrite: Rewrite)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Sets the status and outcome of the run and releases the lease. A waiting run becomes due at once if the journal
    /// already holds an outcome under one of the keys that it waits on, or if a cancellation was requested and the
    /// owner did not know of it.
    fn finish(&self, lease: &Lease, ending: Ending) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Starts the run again: it is queued with this input, or with its present one, and has no records, no waiting
    /// entries and no streams. Its mail and its published values stay. Releases the lease.
    /// [`Header::restart`](crate::journal::Header::restart) is the new state.
    ///
    /// The default implementation refuses the call with [`StoreError::Unstorable`]. A store that implements [`Dispatch`]
    /// has to replace it.
    fn restart(
        &self,
        lease: &Lease,
        input: Option<Input>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        drop(input);
        let detail = format!("it has no queues, so the run `{}` cannot start again", lease.run()).into();
        std::future::ready(Err(StoreError::Unstorable { detail }))
    }

    /// Extends the lease to `ttl` from now, and returns the store's time and whether a cancellation was requested.
    fn renew(&self, lease: &Lease, ttl: Duration)
    -> impl Future<Output = Result<Renewed, StoreError>> + Send;

    /// Releases the lease of a run that was dropped before its end. A later [`open`](Self::open) on this handle, or on
    /// a clone of it, finds the run free.
    ///
    /// The call must not block and cannot fail: if the release does not reach the store, the lease expires.
    fn release(&self, lease: &Lease);

    /// Reads a run without taking its lease. Returns `None` if there is no such run.
    fn load(&self, run: &RunId) -> impl Future<Output = Result<Option<StoredRun>, StoreError>> + Send;

    /// Names, in a few words, the failures that an acknowledged write survives: `"memory: nothing"`,
    /// `"SQLite, synchronous=FULL"`.
    fn durability(&self) -> &'static str;
}

/// The answer to a request to open a run.
///
/// ```
/// use awaitly_core::journal::Refused;
/// use awaitly_core::store::{Open, Opened, Store, StoreError};
///
/// /// Describes the state of a run by an attempt to open it.
/// async fn describe(store: &impl Store, request: Open) -> Result<String, StoreError> {
///     Ok(match store.open(request.existing()).await? {
///         Opened::Held { lease, run, .. } => {
///             store.release(&lease);
///             format!("free, with {} records", run.records.len())
///         }
///         Opened::Ended(header) => format!("ended: {}", header.status),
///         Opened::Refused(Refused::Busy { remaining }) => format!("busy for {remaining:?}"),
///         Opened::Refused(refused) => refused.to_string(),
///     })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The caller holds the lease and may execute the run.
    Held {
        /// The right to write the run's journal.
        lease: Lease,
        /// The current time, by the store's clock.
        now: Timestamp,
        /// The stored run. A new run is running and has no records; [`revive`](Store::revive) a waiting or ended run
        /// before you execute it.
        run: StoredRun,
    },
    /// The run has ended; its records are not loaded.
    Ended(Header),
    /// The run was not opened.
    Refused(Refused),
}

/// A run as a store keeps it.
///
/// A run made from scratch, to import work that began in an older system:
///
/// ```
/// use awaitly_core::journal::{Header, Outcome, Payload, Record, Status, Timestamp};
/// use awaitly_core::store::StoredRun;
///
/// let charged = Outcome::Value(Payload::encode(&4200).unwrap());
/// let order = StoredRun {
///     header: Header::new("checkout".into(), 1, Status::Running, Timestamp::from_millis(0)),
///     input: None,
///     records: vec![Record { key: "charge".into(), outcome: charged, input: None }],
///     waits: Vec::new(),
/// };
/// # let _ = order;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    /// The data of the run besides its input, its records and its waiting entries.
    pub header: Header,
    /// The input, if the run has one.
    pub input: Option<Payload>,
    /// The recorded outcomes, in the order in which they were appended.
    pub records: Vec<Record>,
    /// The entries that wait for an answer, in the order of their keys.
    pub waits: Vec<WaitEntry>,
}

/// The level of durability of an acknowledged record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The record survives everything that the store can protect against, usually including a loss of power.
    #[default]
    Sync,
    /// The record survives the end of the process, but perhaps not a crash of the system or a loss of power: these may
    /// lose the outcome, and with it all later records of the run.
    Batched,
}

/// An entry to add, which waits for an answer from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Wait {
    /// The key of the step that waits.
    pub key: Key,
    /// An unguessable token; its bearer may answer.
    pub token: Box<str>,
    /// The question.
    pub request: Payload,
    /// The time to answer, measured by the store's clock from the moment when the store adds the entry. `None`:
    /// unlimited.
    pub expires_in: Option<Duration>,
}

impl Wait {
    /// Returns the entry, as a store keeps it from `now` on.
    ///
    /// ```
    /// use awaitly_core::clock::mins;
    /// use awaitly_core::journal::{Payload, Timestamp};
    /// use awaitly_core::store::Wait;
    ///
    /// let now = Timestamp::from_millis(1_000);
    /// let request = Payload::encode("Refund 42.00?").unwrap();
    /// let wait = Wait { key: "manager".into(), token: "k3Vd9s".into(), request, expires_in: Some(mins(1)) };
    /// assert_eq!(wait.begin(now).expires, Some(Timestamp::from_millis(61_000)));
    /// ```
    #[must_use]
    pub fn begin(self, now: Timestamp) -> WaitEntry {
        let Self { key, token, request, expires_in } = self;
        WaitEntry { key, token, request, since: now, expires: expires_in.map(|delay| now.after(delay)) }
    }
}

// The token does not belong in logs.
impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("key", &self.key)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// A journal in the form for a newer version of the workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrite {
    /// The newer version.
    pub version: u32,
    /// The new contents of the journal.
    pub contents: Contents,
    /// The keys of the entries that waited when the journal was read, in order. An answer needs no lease, and the
    /// rewrite must not lose an answer that came in the meantime.
    pub waited: Vec<Key>,
}

impl Rewrite {
    /// Creates a rewrite to `version` of the workflow, with `contents`. `waited` holds the entries that waited when the
    /// journal was read.
    #[must_use]
    pub fn new<'a>(
        version: u32,
        contents: Contents,
        waited: impl IntoIterator<Item = &'a WaitEntry>,
    ) -> Self {
        let mut waited: Vec<_> = waited.into_iter().map(|entry| entry.key.clone()).collect();
        waited.sort_unstable();
        Self { version, contents, waited }
    }

    /// Checks that the entries that wait now, with the keys `waiting`, are the entries that waited when the journal was
    /// read.
    ///
    /// # Errors
    /// Returns [`StoreError::Answered`] if the keys differ.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::{Contents, Key};
    /// use awaitly_core::store::{Rewrite, RunId, StoreError};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let rewrite = Rewrite::new(2, Contents::default(), []);
    /// let run = RunId::new("order-42")?;
    /// rewrite.check(&run, [])?;
    /// let manager = Key::from("manager"); // waits now, but did not when the journal was read
    /// assert!(matches!(rewrite.check(&run, [&manager]), Err(StoreError::Answered { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn check<'a>(
        &self,
        run: &RunId,
        waiting: impl IntoIterator<Item = &'a Key>,
    ) -> Result<(), StoreError> {
        let mut waiting: Vec<_> = waiting.into_iter().collect();
        waiting.sort_unstable();
        if waiting.into_iter().eq(&self.waited) {
            Ok(())
        } else {
            Err(StoreError::Answered { run: (**run).into() })
        }
    }
}

/// The result of a renewed lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// The current time, by the store's clock.
    pub now: Timestamp,
    /// Whether a cancellation of the run was requested.
    pub cancel: bool,
}

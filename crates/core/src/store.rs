//! What a store of journals does: the trait, and what passes through it.
//!
//! A store keeps runs and their records, and gives the right to write a run to one owner at a time.
//! That right is a [`Lease`]: it lasts for a while, is renewed as long as the run is executed, and
//! carries a token that grows with every new lease of the run. A write that carries an older token is
//! refused, so an owner that was frozen and replaced cannot write any more.
//!
//! What may be done is decided by [`journal::admit`](crate::journal::admit),
//! [`journal::settle`](crate::journal::settle) and [`Status::next`](crate::journal::Status::next); a store only
//! carries it out, in one commit that happens only where what was decided on still stands.
//!
//! [`Store`] is what a run asks of one. [`Operate`] is what people and engines ask: which runs there are, which
//! wait and for what, answers from outside, cancelling, deleting, importing. A type that implements [`Around`] is a store
//! around another one.

mod any;
pub mod around;
mod error;
mod lease;
mod operate;
mod run_id;
mod table;
mod transactional;
mod wakes;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use any::AnyStore;
pub use around::Around;
pub use error::StoreError;
pub use lease::{Lease, Owner};
pub use operate::{
    Answer, Answered, Cancelled, Cancelling, Cursor, DeleteIf, Due, DueQuery, Imported, Operate, Page,
    RunQuery, RunSummary, WaitQuery, Waiting,
};
pub use run_id::{InvalidRunId, RunId};
pub(crate) use transactional::Back;
pub use transactional::{OnRecorded, Transactional, Tx};
pub use wakes::{Bell, Wakes};

use crate::journal::{
    Contents, EncodeError, Fingerprint, Header, Key, Outcome, Payload, Record, Refused, Settling, Status,
    Timestamp, WaitEntry,
};

/// Where journals rest.
///
/// Implementations must keep these promises, which the conformance suite in `awaitly-persistence`
/// checks one by one:
///
/// - a future that returned `Ok` is durable, to the level that [`durability`](Self::durability) names; one with
///   [`Durability::Batched`] survives the process, and what is written after it is never there without it;
/// - each call is one commit: it happened whole or not at all, also when its future is dropped. The one exception is
///   [`Operate::delete`], which goes run by run where a store says so;
/// - a lease is held by one owner at a time, its time runs by the store's clock, and a write or renewal
///   with an older token than the run's is [`StoreError::LeaseLost`];
/// - a key is recorded once in a run: a second record is [`StoreError::AlreadyRecorded`];
/// - records come back in the order in which they were appended.
///
/// # Errors
/// Every call can end in what [`StoreError`] says of the store itself: [`Full`](StoreError::Full),
/// [`ReadOnly`](StoreError::ReadOnly), [`NotThere`](StoreError::NotThere), [`Unavailable`](StoreError::Unavailable),
/// [`Corrupt`](StoreError::Corrupt), [`Closed`](StoreError::Closed); then nothing of the call was done, or,
/// where its answer was lost, all of it. What the store cannot keep, for instance because it is too large, is
/// [`Unstorable`](StoreError::Unstorable); a run that a newer version of the library wrote is
/// [`NewerFormat`](StoreError::NewerFormat). Nothing was changed then. Every call with a lease can end in
/// [`LeaseLost`](StoreError::LeaseLost), and `append`, `wait` and `rewrite` in
/// [`AlreadyRecorded`](StoreError::AlreadyRecorded).
///
/// Implementors may write `async fn`. The calls of one run come one after another or concurrently;
/// those of many runs come concurrently, and a store that can lets them share commits.
pub trait Store: Send + Sync + 'static {
    /// Asks [`admit`](crate::journal::admit) and carries out what it says: takes the lease, and loads
    /// the whole journal. Nothing else of a run that is there is changed.
    ///
    /// A lease that is asked for with a `ttl` of zero counts as expired at once: the next who asks may take the run.
    ///
    /// # Cancel safety
    /// Where the future is dropped, a lease that it has taken is given back.
    fn open(&self, request: Open) -> impl Future<Output = Result<Opened, StoreError>> + Send;

    /// Adds a record to the journal of the run that `lease` is for.
    fn append(
        &self,
        lease: &Lease,
        record: Record,
        durability: Durability,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts `record` in the place of the one under its key, or adds it where there is none.
    fn replace(
        &self,
        lease: &Lease,
        record: Record,
        durability: Durability,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Adds an entry that waits for an answer from outside. Where one waits under its key already, that one
    /// stays as it is; where an outcome is recorded, this is [`StoreError::AlreadyRecorded`].
    fn wait(&self, lease: &Lease, wait: Wait) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Records `record` in the place of an entry that waits under its key, where
    /// [`settle`](crate::journal::settle) lets that be done in this way, and gives the outcome that stands there then:
    /// the record's, or that of somebody who answered before. `None`: the entry still waits, or there is none.
    fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> impl Future<Output = Result<Option<Outcome>, StoreError>> + Send;

    /// Sets a run that waits or has ended back to running, forgets its outcome and what it failed on, and
    /// drops the records with these keys. Entries that wait stay.
    fn revive(&self, lease: &Lease, drop: Vec<Key>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts `rewrite` in the place of everything that the journal knows by keys, and sets the version of the workflow.
    /// [`StoreError::Answered`] where other entries wait by now than those that were read: then nothing was changed.
    fn rewrite(&self, lease: &Lease, rewrite: Rewrite)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Sets the status and outcome of the run, and gives the lease back. A run that waits is to be resumed at
    /// once if an outcome is recorded by now under one of the keys that it waits on, or if somebody asked for the run to
    /// be cancelled and its owner did not know of that.
    fn finish(&self, lease: &Lease, ending: Ending) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets the lease last for `ttl` from now, and tells its owner what it has to know.
    fn renew(&self, lease: &Lease, ttl: Duration)
    -> impl Future<Output = Result<Renewed, StoreError>> + Send;

    /// Gives the lease back when the run was dropped in the middle. A later [`open`](Self::open) on this handle, or a
    /// clone of it, finds the run free.
    ///
    /// Must not block, and cannot fail: where it does not get through, the lease expires.
    fn release(&self, lease: &Lease);

    /// Reads a run without taking its lease. `None`: no such run.
    fn load(&self, run: &RunId) -> impl Future<Output = Result<Option<StoredRun>, StoreError>> + Send;

    /// What an acknowledged write survives, in a few words: `"memory: nothing"`, `"SQLite, synchronous=FULL"`.
    fn durability(&self) -> &'static str;
}

/// A request to open a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Open {
    /// The run.
    pub run: RunId,
    /// The workflow that opens it.
    pub workflow: Arc<str>,
    /// The version of that workflow. 1 unless set.
    pub version: u32,
    /// The input of the run, kept when the run begins.
    pub input: Option<Input>,
    /// Who asks for the lease.
    pub owner: Owner,
    /// How long the lease lasts unless it is renewed. 30 seconds unless set.
    pub ttl: Duration,
    /// Why it is opened: whether an ended run may be resumed.
    pub purpose: Purpose,
    /// What is to happen where the run is not there.
    pub absent: Absent,
}

/// What opening a run comes to that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Absent {
    /// It begins.
    #[default]
    Begin,
    /// [`Refused::NoSuchRun`]: who resumes a run that it was told of must not let one begin anew that was deleted
    /// meanwhile.
    Refuse,
}

/// Why a run is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To begin it, or to resume it from where it was interrupted. An ended run stays ended.
    #[default]
    Resume,
    /// To resume it also if it failed or was cancelled, from the step that it failed on.
    Retry,
    /// To undo what it did: a run that has not ended, or was cancelled. One that completed or failed stays so. If another
    /// owner holds the lease, the store keeps the request, as [`Operate::cancel`] does, and refuses with
    /// [`Refused::Busy`].
    Cancel,
}

impl Open {
    /// How long a lease lasts unless it is renewed or the request says otherwise.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(30);

    /// A request for `run`, as a run of `workflow`, by `owner`.
    pub fn new(run: RunId, workflow: impl Into<Arc<str>>, owner: Owner) -> Self {
        Self {
            run,
            workflow: workflow.into(),
            version: 1,
            input: None,
            owner,
            ttl: Self::DEFAULT_TTL,
            purpose: Purpose::Resume,
            absent: Absent::Begin,
        }
    }

    /// Sets the version of the workflow.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets the input.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.input = Some(input);
        self
    }

    /// Sets how long the lease lasts.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Refuses a run that is not there, instead of beginning it.
    #[must_use]
    pub const fn existing(mut self) -> Self {
        self.absent = Absent::Refuse;
        self
    }

    /// Sets why the run is opened.
    #[must_use]
    pub const fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }
}

/// The input of a run, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The value.
    pub payload: Payload,
    /// Its fingerprint: what tells whether a later input is another one.
    pub fingerprint: Fingerprint,
}

impl Input {
    /// The input with that value.
    ///
    /// # Errors
    /// [`EncodeError`] where the value has no JSON form.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        Ok(Self { payload: Payload::encode(value)?, fingerprint: Fingerprint::of(value)? })
    }
}

/// The answer to a request to open a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The run is ours to execute.
    Held {
        /// The right to write its journal.
        lease: Lease,
        /// What time it is, by the store's clock.
        now: Timestamp,
        /// What is there. A new run is running and has no records; one that waits or has ended is
        /// [`revive`](Store::revive)d before it is executed.
        run: StoredRun,
    },
    /// The run has ended; its records are not loaded.
    Ended(Header),
    /// The run was not opened.
    Refused(Refused),
}

/// A run as it rests in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    /// Everything beside the records.
    pub header: Header,
    /// The input, where the run was given one.
    pub input: Option<Payload>,
    /// The recorded outcomes, in the order in which they were appended.
    pub records: Vec<Record>,
    /// The entries that wait for an answer, in the order of their keys.
    pub waits: Vec<WaitEntry>,
}

/// What an acknowledged record survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// What the store promises at its best: as a rule a loss of power.
    #[default]
    Sync,
    /// The end of the process, but maybe not a crash of the system or a loss of power: those may take an outcome,
    /// and with it everything that was recorded in the run after it.
    Batched,
}

/// An entry that is to wait for an answer from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Wait {
    /// The key of the step that waits.
    pub key: Key,
    /// An unguessable token; whoever shows it may answer.
    pub token: Box<str>,
    /// What is asked of who answers.
    pub request: Payload,
    /// How long there is for an answer, from now by the store's clock. `None`: for ever.
    pub expires_in: Option<Duration>,
}

impl Wait {
    /// The entry, as it rests in a store from `now` on.
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

/// A journal in the form of a newer version of the workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrite {
    /// That version.
    pub version: u32,
    /// What the journal holds from now on.
    pub contents: Contents,
    /// The keys of the entries that waited when the journal was read, in their order. Who answers needs no lease, and
    /// an answer that came since must not be lost.
    pub waited: Vec<Key>,
}

impl Rewrite {
    /// `contents` in the place of a journal in which the entries `waited` were waiting.
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

    /// Refuses where other entries wait now, whose keys are `waiting`, than when the journal was read.
    ///
    /// # Errors
    /// [`StoreError::Answered`]
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

/// What the owner of a lease learns when it renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// What time it is, by the store's clock.
    pub now: Timestamp,
    /// Whether somebody asked for the run to be cancelled.
    pub cancel: bool,
}

/// How a run ends, or pauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The new status; never [`Status::Running`].
    pub status: Status,
    /// What the run ended in. `None` for a waiting run.
    pub outcome: Option<Outcome>,
    /// The error as text, for people who look for it.
    pub error: Option<Box<str>>,
    /// The keys of the steps that the run failed on, which a retry drops.
    pub failed_on: Vec<Key>,
    /// The keys under which a waiting run waits for an answer.
    pub waits_on: Vec<Key>,
    /// When a waiting run is to be resumed though nobody has answered. `None`: never.
    pub wake: Option<Timestamp>,
    /// Whether this execution knew that the run is to be cancelled. If such a run waits, it is still to be cancelled
    /// when it is resumed, and `wake` says when that is.
    pub cancelling: bool,
}

impl Ending {
    /// Returns the end of a run with that status, and nothing else.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            outcome: None,
            error: None,
            failed_on: Vec::new(),
            waits_on: Vec::new(),
            wake: None,
            cancelling: false,
        }
    }
}

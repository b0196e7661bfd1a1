//! The request to open a run, as every store gets it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{EncodeError, Fingerprint, Payload, RunId};

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
    /// [`NoSuchRun`](super::Refused::NoSuchRun): a worker that resumes a run must not let it begin anew if it was deleted
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
    /// owner holds the lease, the store keeps the request, as [`Operate::cancel`](crate::store::Operate::cancel) does,
    /// and refuses with [`Busy`](super::Refused::Busy).
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

/// Who holds a lease: one execution of one run in one process.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// An owner of that name. Names of different owners must differ.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({})", self.0)
    }
}

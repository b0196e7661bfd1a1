//! The request to open a run, for every store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{EncodeError, Fingerprint, Payload, RunId};

/// A request to open a run.
///
/// A new order, whose input the store keeps:
///
/// ```
/// use awaitly_core::store::{Input, Open, Owner, RunId};
///
/// let run = RunId::new("order-42").unwrap();
/// let cart = Input::of(&["tea", "mug"]).unwrap();
/// let request = Open::new(run, "checkout", Owner::unique()).version(3).input(cart);
/// assert_eq!((request.version, request.ttl), (3, Open::DEFAULT_TTL));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Open {
    /// The run.
    pub run: RunId,
    /// The workflow that opens the run.
    pub workflow: Arc<str>,
    /// The version of the workflow. The default is 1.
    pub version: u32,
    /// The input of the run. The store keeps it when the run begins.
    pub input: Option<Input>,
    /// The owner that asks for the lease.
    pub owner: Owner,
    /// The time that the lease lasts unless it is renewed. The default is 30 seconds.
    pub ttl: Duration,
    /// The purpose, which determines whether an ended run may be resumed.
    pub purpose: Purpose,
    /// If `true`, the store refuses a run that does not exist, with [`NoSuchRun`](super::Refused::NoSuchRun). If `false`,
    /// the run begins.
    pub must_exist: bool,
}

/// The purpose of opening a run.
///
/// ```
/// use std::sync::Arc;
///
/// use awaitly_core::journal::{Header, Opening, Status, Timestamp, admit};
/// use awaitly_core::store::{Open, Owner, Purpose, RunId};
///
/// let failed = Header::new(Arc::from("checkout"), 1, Status::Failed, Timestamp::from_millis(0));
/// let open = Open::new(RunId::new("order-42").unwrap(), "checkout", Owner::unique());
/// assert_eq!(admit(&open, Some((&failed, None))), Opening::Ended);
/// assert_eq!(admit(&open.purpose(Purpose::Retry), Some((&failed, None))), Opening::Take);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Begins the run, or resumes it after an interruption. An ended run stays ended.
    #[default]
    Resume,
    /// Also resumes a failed or cancelled run, from the step that it failed on.
    Retry,
    /// Undoes the steps of a run that has not ended or was cancelled. A completed or failed run stays unchanged.
    ///
    /// If another owner holds the lease, the store keeps the request, as
    /// [`Operate::cancel`](crate::store::Operate::cancel) does, and refuses to open the run with
    /// [`Busy`](super::Refused::Busy). If it is too late to cancel the run, the store does not keep the request, and
    /// refuses with [`TooLateToCancel`](super::Refused::TooLateToCancel).
    Cancel,
}

impl Open {
    /// The time that a lease lasts unless it is renewed or the request sets another time.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(30);

    /// Creates a request by `owner` for `run`, a run of `workflow`.
    pub fn new(run: RunId, workflow: impl Into<Arc<str>>, owner: Owner) -> Self {
        Self {
            run,
            workflow: workflow.into(),
            version: 1,
            input: None,
            owner,
            ttl: Self::DEFAULT_TTL,
            purpose: Purpose::Resume,
            must_exist: false,
        }
    }

    /// Sets the version of the workflow.
    ///
    /// # Default
    /// 1.
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

    /// Sets the time that the lease lasts unless it is renewed.
    ///
    /// # Default
    /// [`DEFAULT_TTL`](Self::DEFAULT_TTL): 30 seconds.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Refuses a run that does not exist, instead of beginning it. A worker that resumes a run uses this: it must not
    /// begin the run again if the run was deleted in the meantime.
    ///
    /// ```
    /// use awaitly_core::journal::{Opening, Refused, admit};
    /// use awaitly_core::store::{Open, Owner, RunId};
    ///
    /// let open = Open::new(RunId::new("order-42").unwrap(), "checkout", Owner::unique());
    /// assert_eq!(admit(&open, None), Opening::Begin);
    /// assert_eq!(admit(&open.existing(), None), Opening::Refuse(Refused::NoSuchRun));
    /// ```
    #[must_use]
    pub const fn existing(mut self) -> Self {
        self.must_exist = true;
        self
    }

    /// Sets the purpose.
    ///
    /// # Default
    /// [`Purpose::Resume`].
    #[must_use]
    pub const fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }
}

/// The input of a run, as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The value.
    pub payload: Payload,
    /// The fingerprint of the value, which reveals a changed input.
    pub fingerprint: Fingerprint,
}

impl Input {
    /// Creates an input from its value.
    ///
    /// # Errors
    /// Returns [`EncodeError`] if the value has no JSON form.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::Input;
    ///
    /// let cart = Input::of(&("tea", 2)).unwrap();
    /// assert_eq!(cart.payload.as_str(), r#"["tea",2]"#);
    /// assert_ne!(cart.fingerprint, Input::of(&("tea", 3)).unwrap().fingerprint);
    /// ```
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        Ok(Self { payload: Payload::encode(value)?, fingerprint: Fingerprint::of(value)? })
    }
}

/// The holder of a lease, by a name that people see. Owners may share a name: a store distinguishes their leases by the
/// tokens.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// Creates an owner with this name, for example the name of a worker.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name.
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

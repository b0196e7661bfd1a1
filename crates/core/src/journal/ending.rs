use super::{Key, Outcome, Status, Timestamp};

/// The end of an execution: the run has ended or pauses.
///
/// ```
/// use awaitly_core::journal::{Outcome, Payload, Status};
/// use awaitly_core::store::Ending;
///
/// let failed = Ending {
///     outcome: Some(Outcome::Failed(Payload::encode("declined").unwrap())),
///     error: Some("the card was declined".into()),
///     failed_on: vec!["charge".into()],
///     ..Ending::new(Status::Failed)
/// };
/// # let _ = failed;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The new status; never [`Status::Running`].
    pub status: Status,
    /// The outcome of the run. `None` for a waiting run.
    pub outcome: Option<Outcome>,
    /// The error as text, for people to read and search.
    pub error: Option<Box<str>>,
    /// The keys of the steps that the run failed on. A retry drops their records.
    pub failed_on: Vec<Key>,
    /// The keys under which a waiting run waits for an answer.
    pub waits_on: Vec<Key>,
    /// The time at which a waiting run becomes due without an answer. `None`: only an answer or a request to cancel
    /// makes it due.
    pub wake: Option<Timestamp>,
    /// `true` if this execution knew of a request to cancel the run. If the run then waits, it waits in a compensation:
    /// the request stays, and the run becomes due at `wake` instead of at once.
    pub cancelling: bool,
}

impl Ending {
    /// Creates an ending with this status and no other data.
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

    /// Creates the ending of a queued run that was not started before its [deadline](crate::dispatch::Place::start_by).
    #[must_use]
    pub fn too_late() -> Self {
        Self { error: Some("no worker started the run in time".into()), ..Self::new(Status::Cancelled) }
    }
}

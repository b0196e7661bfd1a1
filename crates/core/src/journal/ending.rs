use super::{Key, Outcome, Status, Timestamp};

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

use std::fmt;

use serde::{Deserialize, Serialize};

/// The status of a run.
///
/// | from | to | event |
/// | --- | --- | --- |
/// | `Queued` | `Running` | a worker claims the run, or the run is executed directly |
/// | `Running` | `Waiting` | an execution ends because a step waits |
/// | `Waiting` | `Running` | the run is resumed |
/// | `Running` | `Completed`, `Failed` | the body returns or panics, or an undo fails |
/// | `Queued`, `Running`, `Waiting` | `Cancelled` | the run is cancelled |
/// | `Failed`, `Cancelled` | `Running` | the run is retried |
///
/// A completed run keeps its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The run was submitted, and no execution has begun.
    Queued,
    /// The run is executed, or it was interrupted and may be resumed. If an owner holds its lease, the run is executed,
    /// as far as the store knows.
    Running,
    /// The run has stopped until an answer from outside completes a step, or until a parked sleep is over.
    Waiting,
    /// The run ended with a value.
    Completed,
    /// The run ended with an error or a panic.
    Failed,
    /// The run ended by a cancellation.
    Cancelled,
}

impl Status {
    /// All statuses, in the order of a run's life.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Waiting, Self::Completed, Self::Failed, Self::Cancelled];

    /// Returns whether the run has ended. Only a retry changes the status of an ended run, and only if the run failed or
    /// was cancelled.
    ///
    /// ```
    /// use awaitly_core::journal::Status;
    ///
    /// let open = Status::ALL.into_iter().filter(|status| !status.has_ended());
    /// assert!(open.eq([Status::Queued, Status::Running, Status::Waiting]));
    /// ```
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Returns the stable name under which stores keep the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the status with this name, if there is one.
    ///
    /// ```
    /// use awaitly_core::journal::Status;
    ///
    /// assert_eq!(Status::from_name("failed"), Some(Status::Failed));
    /// assert_eq!(Status::from_name("Failed"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_status() {
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.as_str()), Some(status));
        }
        assert_eq!(Status::from_name("paused"), None);
    }
}

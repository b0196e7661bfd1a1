use std::fmt;

use serde::{Deserialize, Serialize};

/// The status of a run.
///
/// ```text
///            wait                 complete
/// Running ─────────▶ Waiting   Running ───▶ Completed
///    ▲  ◀──resume───    │      Running ───▶ Failed ────┐
///    │                  └────▶ Cancelled ──────────────┤
///    └───────────────────── retry ─────────────────────┘
/// ```
///
/// [`next`](Status::next) defines all transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The run is executed, or was interrupted and may be resumed; its lease shows which of the two holds.
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

/// An act that changes the status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// The run is opened again.
    Resume,
    /// A step waits for an answer from outside, or a sleep was parked.
    Wait,
    /// The body returned a value.
    Complete,
    /// The body returned an error, or panicked.
    Fail,
    /// The run was cancelled.
    Cancel,
    /// The caller asks to resume a failed or cancelled run from the step that it failed on.
    Retry,
}

/// The error for an act that the status of a run does not permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {status} cannot {act}")]
pub struct IllegalAct {
    /// The status of the run.
    pub status: Status,
    /// The refused act.
    pub act: Act,
}

impl Status {
    /// All statuses, in the order of a run's life.
    pub const ALL: [Self; 5] = [Self::Running, Self::Waiting, Self::Completed, Self::Failed, Self::Cancelled];

    /// Returns the status that follows `act`.
    ///
    /// # Errors
    /// Returns [`IllegalAct`] if the status does not permit the act.
    pub const fn next(self, act: Act) -> Result<Self, IllegalAct> {
        match (self, act) {
            (Self::Running | Self::Waiting, Act::Resume | Act::Retry)
            | (Self::Failed | Self::Cancelled, Act::Retry) => Ok(Self::Running),
            (Self::Running, Act::Wait) => Ok(Self::Waiting),
            (Self::Running, Act::Complete) => Ok(Self::Completed),
            (Self::Running, Act::Fail) => Ok(Self::Failed),
            (Self::Running | Self::Waiting, Act::Cancel) => Ok(Self::Cancelled),
            (status, act) => Err(IllegalAct { status, act }),
        }
    }

    /// Returns whether the run has ended. Only [`Act::Retry`] changes the status of an ended run, and only if the run
    /// failed or was cancelled.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Returns the stable name under which stores keep the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the status with this name, if there is one.
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

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resume => "be resumed",
            Self::Wait => "wait",
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Cancel => "be cancelled",
            Self::Retry => "be retried",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_status_and_act_is_decided() {
        use Status::{Cancelled, Completed, Failed, Running, Waiting};
        let acts = [Act::Resume, Act::Wait, Act::Complete, Act::Fail, Act::Cancel, Act::Retry];
        let table = [
            (
                Running,
                [Some(Running), Some(Waiting), Some(Completed), Some(Failed), Some(Cancelled), Some(Running)],
            ),
            (Waiting, [Some(Running), None, None, None, Some(Cancelled), Some(Running)]),
            (Completed, [None; 6]),
            (Failed, [None, None, None, None, None, Some(Running)]),
            (Cancelled, [None, None, None, None, None, Some(Running)]),
        ];
        for (status, row) in table {
            for (act, expected) in acts.into_iter().zip(row) {
                assert_eq!(status.next(act).ok(), expected, "{status} {act}");
            }
        }
    }

    #[test]
    fn every_name_leads_back_to_its_status() {
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.as_str()), Some(status));
        }
        assert_eq!(Status::from_name("paused"), None);
    }
}

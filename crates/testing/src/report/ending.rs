use std::fmt;

use awaitly_core::event::{Event, EventKind};
use serde::Serialize;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The body returned a value.
    Completed,
    /// The body failed with this, or panicked.
    Failed(String),
    /// It waits for an answer, or for a time.
    Waiting,
    /// It was cancelled.
    Cancelled,
    /// It could not go on because of this, and stays to be resumed.
    Interrupted(String),
    /// The body was not called: the run had ended before, or could not be opened.
    NotBegun,
}

impl Ending {
    pub(super) fn of(events: &[Event]) -> Self {
        events.iter().rev().find_map(|event| Self::told_by(&event.kind)).unwrap_or(Self::NotBegun)
    }

    pub(super) fn told_by(kind: &EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::RunSucceeded { .. } => Self::Completed,
            EventKind::RunFailed { error, .. } => Self::Failed(error.clone()),
            EventKind::RunWaiting { .. } => Self::Waiting,
            EventKind::RunCancelled { .. } => Self::Cancelled,
            EventKind::RunInterrupted { error, .. } => Self::Interrupted(error.clone()),
            _ => return None,
        })
    }

    /// Whether the run is over, so that nothing more comes of it.
    pub(crate) const fn is_final(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Interrupted(_))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("the run completed"),
            Self::Failed(error) => write!(f, "the run failed: {error}"),
            Self::Waiting => f.write_str("the run waits"),
            Self::Cancelled => f.write_str("the run was cancelled"),
            Self::Interrupted(error) => write!(f, "the run was interrupted: {error}"),
            Self::NotBegun => f.write_str("the run did not begin"),
        }
    }
}

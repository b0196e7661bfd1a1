use std::fmt;

use awaitly_core::event::{Event, EventKind};
use serde::Serialize;

/// The ending of a run, according to its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunEnding {
    /// The body returned a value.
    Completed,
    /// The body returned this error, or it panicked.
    Failed(String),
    /// The run waits for an answer from outside, or for the end of a sleep or a backoff.
    Waiting,
    /// The run was cancelled.
    Cancelled,
    /// This error interrupted the run, which can be resumed.
    Interrupted(String),
    /// The body was not called: the run had already ended, or the store could not open it.
    NotBegun,
}

impl RunEnding {
    pub(super) fn of(events: &[Event]) -> Self {
        events.iter().rev().find_map(|event| Self::of_event(&event.kind)).unwrap_or(Self::NotBegun)
    }

    pub(crate) fn of_event(kind: &EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::RunSucceeded { .. } => Self::Completed,
            EventKind::RunFailed { error, .. } => Self::Failed(error.clone()),
            EventKind::RunWaiting { .. } => Self::Waiting,
            EventKind::RunCancelled { .. } => Self::Cancelled,
            EventKind::RunInterrupted { error, .. } => Self::Interrupted(error.clone()),
            _ => return None,
        })
    }

    /// Returns whether the run has ended and cannot continue.
    pub(crate) const fn is_final(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Interrupted(_))
    }
}

impl fmt::Display for RunEnding {
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

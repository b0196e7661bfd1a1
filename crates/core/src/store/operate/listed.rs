use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::journal::{Header, Key, Status, Timestamp, WaitEntry};
use crate::store::RunId;

/// A run, as lists show it.
///
/// ```
/// use awaitly_core::store::RunSummary;
///
/// fn line(run: &RunSummary) -> String {
///     let state = if run.held { "executed now" } else { run.status.as_str() };
///     format!("{} ({state}) {}", run.run, run.error.as_deref().unwrap_or_default())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The run id.
    pub run: RunId,
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The version of the workflow that wrote the journal last.
    pub version: u32,
    /// The status of the run.
    pub status: Status,
    /// The error of a failed run.
    pub error: Option<Box<str>>,
    /// The keys of the steps that the run failed on.
    pub failed_on: Vec<Key>,
    /// The time at which the run began.
    pub created: Timestamp,
    /// The time at which the status changed last.
    pub changed: Timestamp,
    /// The time at which a queued or waiting run becomes due.
    pub wake: Option<Timestamp>,
    /// The name of the run's queue; empty for the default queue.
    pub queue: Arc<str>,
    /// Whether the run is paused.
    pub paused: bool,
    /// The tags.
    pub tags: Vec<Arc<str>>,
    /// Whether a process executes the run, as far as the store knows: the lease of an owner that died may last a while
    /// longer.
    pub held: bool,
}

impl RunSummary {
    /// Creates the summary of a run from its header and the remaining time of its lease, if an owner holds it.
    #[must_use]
    pub fn of(run: RunId, header: &Header, lease: Option<Duration>) -> Self {
        Self {
            run,
            workflow: Arc::clone(&header.workflow),
            version: header.version,
            status: header.status,
            error: header.error.clone(),
            failed_on: header.failed_on.clone(),
            created: header.created,
            changed: header.changed,
            wake: header.wake,
            queue: Arc::clone(&header.place.queue),
            paused: header.paused,
            tags: header.tags.clone(),
            held: lease.is_some(),
        }
    }
}

/// An entry that waits for an answer, with its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The run.
    pub run: RunId,
    /// The name of the run's workflow.
    pub workflow: Arc<str>,
    /// The entry.
    pub entry: WaitEntry,
}

/// A run to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The run.
    pub run: RunId,
    /// The name of the run's workflow.
    pub workflow: Arc<str>,
    /// The version of the workflow that wrote the journal last.
    pub version: u32,
    /// The time since which the run is due.
    pub since: Timestamp,
}

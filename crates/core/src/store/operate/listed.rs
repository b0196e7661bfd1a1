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
    /// The time at which a waiting run becomes due.
    pub wake: Option<Timestamp>,
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

impl Due {
    /// Returns the time since which a run is due, or `None` if it is not due at `now`. `wake` and `changed` are the
    /// fields of its header. `held_until` is the time at which its newest lease ends or ended, if the store keeps one.
    ///
    /// ```
    /// use awaitly_core::journal::{Status, Timestamp};
    /// use awaitly_core::store::Due;
    ///
    /// let (began, now) = (Timestamp::from_millis(0), Timestamp::from_millis(100));
    /// let asleep = Due::since(Status::Waiting, Some(Timestamp::from_millis(200)), None, began, now);
    /// assert_eq!(asleep, None);
    /// let interrupted = Due::since(Status::Running, None, Some(Timestamp::from_millis(90)), began, now);
    /// assert_eq!(interrupted, Some(Timestamp::from_millis(90)));
    /// ```
    #[must_use]
    pub fn since(
        status: Status,
        wake: Option<Timestamp>,
        held_until: Option<Timestamp>,
        changed: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let free = held_until.unwrap_or(changed);
        match status {
            _ if held_until.is_some_and(|until| until > now) => None,
            Status::Running => Some(free),
            Status::Waiting => wake.filter(|wake| *wake <= now),
            Status::Completed | Status::Failed | Status::Cancelled => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_run_is_due_once_its_time_has_come() {
        let at = Timestamp::from_millis;
        let since = |status, wake, held| Due::since(status, wake, held, at(5), at(10));
        assert_eq!(since(Status::Running, None, None), Some(at(5)));
        assert_eq!(since(Status::Running, None, Some(at(10))), Some(at(10)));
        assert_eq!(since(Status::Running, None, Some(at(11))), None);
        assert_eq!(since(Status::Waiting, None, None), None);
        assert_eq!(since(Status::Waiting, Some(at(10)), None), Some(at(10)));
        assert_eq!(since(Status::Waiting, Some(at(11)), None), None);
        assert_eq!(since(Status::Waiting, Some(at(9)), Some(at(12))), None);
        for ended in [Status::Completed, Status::Failed, Status::Cancelled] {
            assert_eq!(since(ended, Some(at(1)), None), None);
        }
    }
}

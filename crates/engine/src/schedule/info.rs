use std::fmt;
use std::sync::Arc;

use awaitly_core::journal::Timestamp;

use super::Schedule;
use super::stored::Stored;

/// A schedule, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// The name.
    pub name: Arc<str>,
    /// The rule and its options.
    pub schedule: Schedule,
    /// The workflow of its runs.
    pub workflow: Arc<str>,
    /// Whether it is paused.
    pub paused: bool,
    /// The time of its last run.
    pub last: Option<Timestamp>,
    /// The next five times, without jitter. Empty if the schedule is paused or has no further time.
    pub next: Vec<Timestamp>,
}

/// The number of times in a listing.
const TIMES: usize = 5;

impl ScheduleInfo {
    pub(super) fn of(name: Arc<str>, stored: Stored) -> Self {
        let Stored { schedule, workflow, paused, next, last, .. } = stored;
        let first = next.filter(|_| !paused);
        let rest = first.and_then(|first| schedule.times(first, TIMES - 1).ok()).unwrap_or_default();
        Self { name, schedule, workflow, paused, last, next: first.into_iter().chain(rest).collect() }
    }
}

impl fmt::Display for ScheduleInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.paused { ", paused" } else { "" };
        write!(f, "{}: `{}`{state}", self.name, self.workflow)
    }
}

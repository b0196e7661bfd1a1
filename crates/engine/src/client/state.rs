use std::fmt;
use std::sync::Arc;

use awaitly_core::journal::{Header, Key, Record, Status, Timestamp};
use awaitly_core::store::StoredRun;

/// The state of a run, with the reason why it has not ended. Its `Display` text explains the state to people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunState {
    /// The phase of the run.
    pub phase: Phase,
    /// The workflow.
    pub workflow: Arc<str>,
    /// The queue; empty for the default queue.
    pub queue: Arc<str>,
    /// Whether the run is paused. An execution in progress continues until the run waits or ends.
    pub paused: bool,
    /// Whether a cancellation of the run was requested.
    pub cancel_requested: bool,
    /// The number of times in a row that a process died while it executed the run, without a new record.
    pub crashes: u32,
    /// The error of a failed run, as text.
    pub error: Option<Box<str>>,
    /// The time at which the run was started.
    pub created: Timestamp,
    /// The number of recorded outcomes.
    pub recorded: usize,
}

/// The phase of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// No execution has begun.
    Queued {
        /// The earliest start.
        from: Timestamp,
    },
    /// A worker executes the run, or the run was interrupted and a worker will resume it.
    Running {
        /// The time since which the run has this status.
        since: Timestamp,
    },
    /// The run waits in the store for the next attempt of a step. Or the run failed, and waits for its next attempt:
    /// see [`Workflow::retry_runs`](awaitly_core::Workflow::retry_runs).
    Retrying {
        /// The step, or [`Key::RUN_RETRIES`] if the run itself is retried.
        step: Key,
        /// The number of failed attempts.
        attempts: u32,
        /// The time of the next attempt.
        until: Timestamp,
    },
    /// The run sleeps or waits for an answer.
    Waiting {
        /// The steps that wait for an answer. Empty if the run only sleeps.
        steps: Vec<Key>,
        /// The time at which the run continues without an answer.
        until: Option<Timestamp>,
    },
    /// The run has ended.
    Ended {
        /// The status: completed, failed or cancelled.
        status: Status,
        /// The time of its end.
        at: Timestamp,
    },
}

impl RunState {
    pub(super) fn of(stored: &StoredRun) -> Self {
        let StoredRun { header, records, .. } = stored;
        let Header { workflow, place, paused, cancel_requested, crashes, error, created, .. } = header;
        Self {
            phase: Phase::of(stored),
            workflow: Arc::clone(workflow),
            queue: Arc::clone(&place.queue),
            paused: *paused,
            cancel_requested: *cancel_requested,
            crashes: *crashes,
            error: error.clone(),
            created: *created,
            recorded: records.iter().filter(|record| !record.outcome.is_retrying()).count(),
        }
    }
}

impl Phase {
    fn of(StoredRun { header, records, waits, .. }: &StoredRun) -> Self {
        match header.status {
            Status::Queued => Self::Queued { from: header.wake.unwrap_or(header.created) },
            Status::Running => Self::Running { since: header.changed },
            Status::Waiting => {
                records.iter().find_map(|record| Self::retrying(record, header.wake)).unwrap_or_else(|| {
                    let steps = waits.iter().map(|entry| entry.key.clone()).collect();
                    Self::Waiting { steps, until: header.wake }
                })
            }
            status => Self::Ended { status, at: header.changed },
        }
    }

    /// Returns the phase if the run waits until `wake` for the next attempt of this record's step.
    fn retrying(record: &Record, wake: Option<Timestamp>) -> Option<Self> {
        let retrying = record.outcome.as_retrying().filter(|retrying| Some(retrying.until) == wake)?;
        Some(Self::Retrying { step: record.key.clone(), attempts: retrying.attempts, until: retrying.until })
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.phase {
            Phase::Queued { .. } if self.queue.is_empty() => f.write_str("queued")?,
            Phase::Queued { .. } => write!(f, "queued in `{}`", self.queue)?,
            Phase::Running { .. } => f.write_str("running")?,
            Phase::Retrying { step, attempts, .. } if *step == Key::RUN_RETRIES => {
                write!(f, "failed {attempts} times, to be retried")?;
            }
            Phase::Retrying { step, attempts, .. } => {
                write!(f, "retrying `{step}` after {attempts} failed attempts")?;
            }
            Phase::Waiting { steps, .. } if steps.is_empty() => f.write_str("asleep")?,
            Phase::Waiting { steps, .. } => {
                let steps: Vec<_> = steps.iter().map(|step| format!("`{step}`")).collect();
                write!(f, "waiting for {}", steps.join(", "))?;
            }
            Phase::Ended { status, .. } => write!(f, "{status}")?,
        }
        let flags = [(self.paused, "paused"), (self.cancel_requested, "being cancelled")];
        let mut flags = flags.into_iter().filter(|(is_set, _)| *is_set);
        flags.try_for_each(|(_, flag)| write!(f, ", {flag}"))?;
        self.error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
    }
}

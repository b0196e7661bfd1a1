use std::fmt;
use std::sync::Arc;

use awaitly_core::RunError;
use awaitly_core::journal::{Header, Key, Record, Status, Timestamp};
use awaitly_core::store::{Dispatch, RunId, Standing, StoredRun};

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
        /// The number of due runs of the queue that workers claim before this one, if no limit of the queue lets other
        /// runs pass. A store counts up to [`Standing::MOST_AHEAD`]. `None` if the run is not due: it is paused, or its
        /// earliest start lies ahead.
        ahead: Option<u64>,
        /// Whether the run is due and its queue is paused.
        queue_paused: bool,
    },
    /// A worker executes the run, or the run was interrupted and a worker will resume it.
    Running {
        /// The time since which the run has this status.
        since: Timestamp,
        /// The [name](crate::Worker::named) of the worker, whose process may have died a moment ago. `None` if no worker
        /// holds the run: it was interrupted, and the next worker with room for it resumes it.
        worker: Option<Arc<str>>,
        /// The step whose outcome was recorded last, so the run executes the code after it. `None` if there is none yet.
        /// If several steps run at once, others may be executed, too.
        after: Option<Key>,
        /// The step that has failed an attempt and has no outcome yet: its next attempt is being made, or its delay is
        /// passing. If there are several of them, this is the one that failed last.
        retrying: Option<Key>,
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

/// The number of times that a run is read if it moves on between the two reads of its state.
const LOOKS: usize = 3;

impl RunState {
    pub(super) async fn read<S: Dispatch>(store: &S, run: &RunId) -> Result<Self, RunError> {
        let mut looks = 1;
        loop {
            let stored = store.load(run).await.map_err(RunError::Store)?;
            let stored = stored.ok_or_else(|| RunError::NoSuchRun { run: (**run).into() })?;
            let standing = match stored.header.status {
                Status::Queued | Status::Running => store.standing(run).await.map_err(RunError::Store)?,
                _ => None,
            };
            if fit(&stored.header, standing.as_ref()) || looks == LOOKS {
                return Ok(Self::of(&stored, standing));
            }
            looks += 1;
        }
    }

    fn of(stored: &StoredRun, standing: Option<Standing>) -> Self {
        let StoredRun { header, records, .. } = stored;
        let Header { workflow, place, paused, cancel_requested, crashes, error, created, .. } = header;
        Self {
            phase: Phase::of(stored, standing),
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

/// Returns whether a header and a standing can belong to one moment.
const fn fit(header: &Header, standing: Option<&Standing>) -> bool {
    match (header.status, standing) {
        (Status::Queued, Some(Standing::Held { .. })) => false,
        (Status::Running, None) => header.paused,
        _ => true,
    }
}

impl Phase {
    fn of(StoredRun { header, records, waits, .. }: &StoredRun, standing: Option<Standing>) -> Self {
        match header.status {
            Status::Queued => {
                let (ahead, queue_paused) = match standing {
                    Some(Standing::InLine { ahead, queue_paused }) => (Some(ahead), queue_paused),
                    _ => (None, false),
                };
                Self::Queued { from: header.wake.unwrap_or(header.created), ahead, queue_paused }
            }
            Status::Running => {
                let worker = match standing {
                    Some(Standing::Held { owner }) => Some(owner),
                    _ => None,
                };
                Self::running(header.changed, worker, records)
            }
            Status::Waiting => {
                records.iter().find_map(|record| Self::retrying(record, header.wake)).unwrap_or_else(|| {
                    let steps = waits.iter().map(|entry| entry.key.clone()).collect();
                    Self::Waiting { steps, until: header.wake }
                })
            }
            status => Self::Ended { status, at: header.changed },
        }
    }

    fn running(since: Timestamp, worker: Option<Arc<str>>, records: &[Record]) -> Self {
        // The marks of a run are not steps.
        let is_step = |record: &&Record| ![Key::RUN_RETRIES, Key::TOO_LATE_TO_CANCEL].contains(&record.key);
        let last = |is_retrying: bool| {
            let mut records = records.iter().rev().filter(is_step);
            records
                .find(|record| record.outcome.is_retrying() == is_retrying)
                .map(|record| record.key.clone())
        };
        Self::Running { since, worker, after: last(false), retrying: last(true) }
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
            Phase::Queued { ahead, queue_paused, .. } => {
                f.write_str("queued")?;
                match (queue_paused, &*self.queue) {
                    (false, "") => {}
                    (false, queue) => write!(f, " in `{queue}`")?,
                    (true, "") => f.write_str(" in the paused default queue")?,
                    (true, queue) => write!(f, " in the paused queue `{queue}`")?,
                }
                match ahead {
                    None => {}
                    Some(0) => f.write_str(", no run is ahead")?,
                    Some(1) => f.write_str(", 1 run is ahead")?,
                    Some(Standing::MOST_AHEAD..) => {
                        write!(f, ", {} or more runs are ahead", Standing::MOST_AHEAD)?;
                    }
                    Some(ahead) => write!(f, ", {ahead} runs are ahead")?,
                }
            }
            Phase::Running { worker, after, retrying, .. } => {
                match worker {
                    Some(worker) => write!(f, "running on `{worker}`")?,
                    None => f.write_str("interrupted")?,
                }
                match (retrying, after) {
                    (Some(step), _) => write!(f, ", retrying `{step}`")?,
                    (None, Some(step)) => write!(f, " after `{step}`")?,
                    (None, None) => {}
                }
            }
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

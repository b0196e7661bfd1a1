use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Absent, Act, Ending, Fingerprint, Key, Open, Outcome, Purpose, Status, Timestamp};

/// What a store knows about a run beside its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Header {
    /// The name of the workflow that the run belongs to.
    pub workflow: Arc<str>,
    /// The version of the workflow that wrote the journal last.
    pub version: u32,
    /// Where the run stands.
    pub status: Status,
    /// The fingerprint of the run's input, where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Fingerprint>,
    /// What an ended run ended in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The error of a failed run as text, for people who look for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<str>>,
    /// The keys of the steps that the run failed on, whose records a retry drops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_on: Vec<Key>,
    /// When the run began.
    pub created: Timestamp,
    /// When its status changed last. Opening it and recording its steps do not change it.
    pub changed: Timestamp,
    /// When a waiting run is to be resumed. `None`: not before it is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Timestamp>,
    /// Whether somebody asked for the run to be cancelled while it was executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
}

impl Header {
    /// The header of a run that begins with `request`, at `now`.
    #[must_use]
    pub fn begin(request: &Open, now: Timestamp) -> Self {
        Self {
            input: request.input.as_ref().map(|input| input.fingerprint),
            ..Self::new(Arc::clone(&request.workflow), request.version, Status::Running, now)
        }
    }

    /// The header of a run about which no more is known than this. A store sets the other fields to what it
    /// kept.
    #[must_use]
    pub const fn new(workflow: Arc<str>, version: u32, status: Status, created: Timestamp) -> Self {
        Self {
            workflow,
            version,
            status,
            input: None,
            outcome: None,
            error: None,
            failed_on: Vec::new(),
            created,
            changed: created,
            wake: None,
            cancel_requested: false,
        }
    }

    /// Takes over how the run ended, or that it waits, at `now`. `answered`: an outcome is recorded already under a key
    /// that the run waits for, so that it is to be resumed at once.
    ///
    /// A request to cancel the run stays until the run has ended. If the run waits and its owner did not know of the
    /// request, the run is to be resumed at once, so that its body can undo. If the owner knew, a compensation waits.
    pub fn end(&mut self, ending: Ending, answered: bool, now: Timestamp) {
        let Ending { status, outcome, error, failed_on, wake, waits_on: _, cancelling } = ending;
        let waits = status == Status::Waiting;
        let is_asked = self.cancel_requested && !cancelling;
        self.status = status;
        self.outcome = outcome;
        self.error = error;
        self.failed_on = failed_on;
        self.changed = now;
        self.wake = if waits && (answered || is_asked) { Some(now) } else { wake };
        self.cancel_requested = waits && (self.cancel_requested || cancelling);
    }

    /// Takes over that somebody asked for the run to be cancelled, at `now`. A run that waits is to be resumed at once.
    pub fn request_cancel(&mut self, now: Timestamp) {
        self.cancel_requested = true;
        if self.status == Status::Waiting {
            self.wake = Some(now);
        }
    }

    /// Takes over that the run is running again, from `now` on.
    pub fn revive(&mut self, now: Timestamp) {
        self.status = Status::Running;
        self.outcome = None;
        self.error = None;
        self.failed_on = Vec::new();
        self.changed = now;
        self.wake = None;
    }
}

/// What a store knows about the lease of a run, by the store's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseInfo {
    /// Nobody holds it: it was released, it expired, or its owner is known to be dead.
    Free,
    /// Somebody holds it for this long.
    Held(Duration),
}

/// What a store does with a request to open a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The run is new: keep its header and give a lease.
    Begin,
    /// Give a lease, and change nothing else.
    Take,
    /// The run has ended and stays as it is: hand out its outcome.
    Ended,
    /// Change nothing.
    Refuse(Refused),
}

/// Why a run was not opened. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Another owner holds the lease.
    #[error("the run is held by another owner for another {remaining:?}")]
    Busy {
        /// How long the lease still lasts if it is not renewed.
        remaining: Duration,
    },
    /// The run id belongs to another workflow.
    #[error("the run belongs to the workflow `{workflow}`")]
    OtherWorkflow {
        /// That workflow.
        workflow: Arc<str>,
    },
    /// The journal was written by a newer version of the workflow.
    #[error("the journal was written by version {stored}")]
    NewerVersion {
        /// That version.
        stored: u32,
    },
    /// The run began with another input.
    #[error("the run began with another input")]
    InputChanged,
    /// There is no such run, and the request begins none.
    #[error("there is no such run")]
    NoSuchRun,
    /// Another owner executes the run, whose body declared that it is too late to cancel it.
    #[error("it is too late to cancel the run")]
    TooLateToCancel,
}

/// Decides whether a run may be opened.
///
/// A store calls this inside the transaction that takes the lease; or it calls this on what it has read, and takes the
/// lease only where that still stands. So all stores answer alike. A request without an input takes the run's own.
#[must_use]
pub fn admit(request: &Open, stored: Option<(&Header, LeaseInfo)>) -> Admission {
    let Some((header, lease)) = stored else {
        return match request.absent {
            Absent::Begin => Admission::Begin,
            Absent::Refuse => Admission::Refuse(Refused::NoSuchRun),
        };
    };
    if header.workflow != request.workflow {
        return Admission::Refuse(Refused::OtherWorkflow { workflow: Arc::clone(&header.workflow) });
    }
    if let (Some(given), Some(stored)) = (&request.input, header.input)
        && given.fingerprint != stored
    {
        return Admission::Refuse(Refused::InputChanged);
    }
    let may_be_taken = match request.purpose {
        Purpose::Resume => header.status.next(Act::Resume).is_ok(),
        Purpose::Retry => header.status.next(Act::Retry).is_ok(),
        Purpose::Cancel => !matches!(header.status, Status::Completed | Status::Failed),
    };
    if !may_be_taken {
        return Admission::Ended;
    }
    if header.version > request.version {
        return Admission::Refuse(Refused::NewerVersion { stored: header.version });
    }
    if let LeaseInfo::Held(remaining) = lease {
        return Admission::Refuse(Refused::Busy { remaining });
    }
    Admission::Take
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::RunId;
    use crate::journal::open::{Input, Owner};

    fn request(purpose: Purpose) -> Open {
        Open::new(RunId::new("order-42").unwrap(), "checkout", Owner::new("a")).version(2).purpose(purpose)
    }

    fn stored(status: Status) -> Header {
        let mut header = Header::begin(&request(Purpose::Resume), Timestamp::from_millis(0));
        header.status = status;
        header.failed_on = vec![Key::from("charge")];
        header
    }

    #[test]
    fn an_unknown_run_begins() {
        assert_eq!(admit(&request(Purpose::Resume), None), Admission::Begin);
        assert_eq!(admit(&request(Purpose::Retry), None), Admission::Begin);
        let existing = request(Purpose::Retry).existing();
        assert_eq!(admit(&existing, None), Admission::Refuse(Refused::NoSuchRun));
        let (header, free) = (stored(Status::Failed), LeaseInfo::Free);
        assert_eq!(admit(&existing, Some((&header, free))), Admission::Take);
    }

    #[test]
    fn an_interrupted_or_waiting_run_is_taken_over_once_its_lease_is_free() {
        for status in [Status::Running, Status::Waiting] {
            let header = stored(status);
            assert_eq!(admit(&request(Purpose::Resume), Some((&header, LeaseInfo::Free))), Admission::Take);
            let held = LeaseInfo::Held(Duration::from_secs(3));
            assert_eq!(
                admit(&request(Purpose::Resume), Some((&header, held))),
                Admission::Refuse(Refused::Busy { remaining: Duration::from_secs(3) })
            );
        }
    }

    #[test]
    fn an_ended_run_stays_ended_until_it_is_retried() {
        for status in [Status::Completed, Status::Failed, Status::Cancelled] {
            let header = stored(status);
            assert_eq!(admit(&request(Purpose::Resume), Some((&header, LeaseInfo::Free))), Admission::Ended);
        }
        assert_eq!(
            admit(&request(Purpose::Retry), Some((&stored(Status::Failed), LeaseInfo::Free))),
            Admission::Take
        );
        assert_eq!(
            admit(&request(Purpose::Retry), Some((&stored(Status::Cancelled), LeaseInfo::Free))),
            Admission::Take
        );
        assert_eq!(
            admit(&request(Purpose::Retry), Some((&stored(Status::Completed), LeaseInfo::Free))),
            Admission::Ended
        );
    }

    #[test]
    fn a_run_that_completed_or_failed_is_not_cancelled() {
        for status in [Status::Running, Status::Waiting, Status::Cancelled] {
            let admission = admit(&request(Purpose::Cancel), Some((&stored(status), LeaseInfo::Free)));
            assert_eq!(admission, Admission::Take);
        }
        for status in [Status::Completed, Status::Failed] {
            let admission = admit(&request(Purpose::Cancel), Some((&stored(status), LeaseInfo::Free)));
            assert_eq!(admission, Admission::Ended);
        }
    }

    #[test]
    fn a_newer_journal_is_refused_unless_the_run_has_ended() {
        let mut header = stored(Status::Running);
        header.version = 3;
        assert_eq!(
            admit(&request(Purpose::Resume), Some((&header, LeaseInfo::Free))),
            Admission::Refuse(Refused::NewerVersion { stored: 3 })
        );
        header.status = Status::Completed;
        assert_eq!(admit(&request(Purpose::Resume), Some((&header, LeaseInfo::Free))), Admission::Ended);
    }

    #[test]
    fn a_run_id_of_another_workflow_is_refused() {
        let mut header = stored(Status::Completed);
        header.workflow = "refund".into();
        assert_eq!(
            admit(&request(Purpose::Resume), Some((&header, LeaseInfo::Free))),
            Admission::Refuse(Refused::OtherWorkflow { workflow: "refund".into() })
        );
    }

    #[test]
    fn another_input_is_refused_and_no_input_takes_the_runs_own() {
        let with_input = request(Purpose::Resume).input(Input::of(&7).unwrap());
        let header = Header::begin(&with_input, Timestamp::from_millis(0));
        assert_eq!(admit(&with_input, Some((&header, LeaseInfo::Free))), Admission::Take);
        assert_eq!(admit(&request(Purpose::Resume), Some((&header, LeaseInfo::Free))), Admission::Take);
        let other = request(Purpose::Resume).input(Input::of(&8).unwrap());
        assert_eq!(admit(&other, Some((&header, LeaseInfo::Free))), Admission::Refuse(Refused::InputChanged));
    }
}

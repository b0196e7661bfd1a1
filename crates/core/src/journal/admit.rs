use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Ending, Fingerprint, Key, Open, Outcome, Payload, Purpose, Status, Timestamp};
use crate::dispatch::{Parent, Place, crashes};
use crate::error::RunError;

/// The data of a run that a store keeps besides its records.
///
/// ```
/// use awaitly_core::journal::{Header, Status, Timestamp};
/// use awaitly_core::store::{Open, Owner, RunId};
///
/// let open = Open::new(RunId::new("order-42").unwrap(), "checkout", Owner::unique()).version(3);
/// let header = Header::begin(&open, Timestamp::from_millis(7));
/// assert_eq!((&*header.workflow, header.version, header.status), ("checkout", 3, Status::Running));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Header {
    /// The name of the workflow that the run belongs to.
    pub workflow: Arc<str>,
    /// The version of the workflow that wrote the journal last.
    pub version: u32,
    /// The status of the run.
    pub status: Status,
    /// The fingerprint of the run's input, if the run has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Fingerprint>,
    /// The outcome of an ended run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The error of a failed run as text, for people to read and search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<str>>,
    /// The keys of the steps that the run failed on. A retry drops their records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_on: Vec<Key>,
    /// The time at which the run began.
    pub created: Timestamp,
    /// The time at which the status changed last. Opening the run and recording its steps do not change it.
    pub changed: Timestamp,
    /// The time at which a queued or waiting run becomes due. `None`: only an answer or a request to cancel makes it due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Timestamp>,
    /// Whether a cancellation was requested and the run has not ended since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// The place of the run in its queue.
    #[serde(default, skip_serializing_if = "Place::is_default")]
    pub place: Place,
    /// Whether the run is paused: it is not due until it is resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The number of times in a row that the owner of the run died without progress: see
    /// [`crashes`](crate::dispatch::crashes).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub crashes: u32,
    /// The number of times that the run was restarted with a fresh journal.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
    /// The step of another run that waits for the end of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Parent>>,
    /// The tags, by which people find the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Arc<str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Header {
    /// Creates the header of a run that begins with `request` at `now`.
    #[must_use]
    pub fn begin(request: &Open, now: Timestamp) -> Self {
        Self {
            input: request.input.as_ref().map(|input| input.fingerprint),
            place: Place::new("", None, 0, now),
            ..Self::new(Arc::clone(&request.workflow), request.version, Status::Running, now)
        }
    }

    /// Creates a header with only these facts. A store sets the other fields to their stored values.
    #[must_use]
    pub fn new(workflow: Arc<str>, version: u32, status: Status, created: Timestamp) -> Self {
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
            place: Place::default(),
            paused: false,
            crashes: 0,
            restarts: 0,
            parent: None,
            tags: Vec::new(),
        }
    }

    /// Starts the run again at `now`, in the place that [`Place::again`] returns.
    ///
    /// ```
    /// use awaitly_core::journal::{Header, Status, Timestamp};
    ///
    /// let now = Timestamp::from_millis(100);
    /// let mut header = Header::new("poll".into(), 3, Status::Running, Timestamp::from_millis(0));
    /// header.restart(header.place.again(now), now);
    /// assert_eq!((header.status, header.version, header.wake), (Status::Queued, 0, Some(now)));
    /// assert_eq!(header.restarts, 1);
    /// ```
    pub fn restart(&mut self, place: Place, now: Timestamp) {
        self.revive(now);
        (self.status, self.version, self.wake, self.crashes) = (Status::Queued, 0, Some(now), 0);
        self.restarts = self.restarts.saturating_add(1);
        self.place = place;
    }

    /// Returns the step that waits for the end of the run, and the answer to it. Returns `None` if the run has not ended
    /// or is not a child.
    ///
    /// ```
    /// use awaitly_core::journal::{Header, Outcome, Status, Timestamp};
    /// use awaitly_core::store::{RunId, Submit};
    ///
    /// let now = Timestamp::from_millis(0);
    /// let refund = Submit::new(RunId::new("refund-1").unwrap(), "refund");
    /// let refund = refund.child_of(RunId::new("order-42").unwrap(), "refund");
    /// let mut header = refund.header(refund.place(now), now);
    /// assert_eq!(header.report(), None);
    /// header.status = Status::Cancelled;
    /// let (parent, outcome) = header.report().unwrap();
    /// assert_eq!(&*parent.key, "refund");
    /// assert!(matches!(outcome, Outcome::Stopped(_)));
    /// ```
    #[must_use]
    pub fn report(&self) -> Option<(Parent, Outcome)> {
        let parent = self.parent.as_deref().filter(|_| self.status.has_ended())?;
        let cancelled = || {
            // An error always has a JSON form.
            let error = Payload::encode(&RunError::Cancelled { step: None });
            Outcome::Stopped(error.unwrap_or_else(|_| Payload::from_stored("null")))
        };
        Some((parent.clone(), self.outcome.clone().unwrap_or_else(cancelled)))
    }

    /// Applies the end of an execution at `now`: the run has ended or waits. A waiting run is due at the time that
    /// `ending` names. It is due at once if `answered` is `true`: the journal already holds an outcome under a key that
    /// the run waits on.
    ///
    /// A request to cancel the run stays until the run has ended. If the owner did not know of the request, a waiting
    /// run is due at once, so that its sagas can undo their steps. If the owner knew of the request, the run waits in a
    /// compensation, and the request does not make it due.
    ///
    /// ```
    /// use awaitly_core::journal::{Header, Status, Timestamp};
    /// use awaitly_core::store::Ending;
    ///
    /// # let mut header = Header::new("checkout".into(), 1, Status::Running, Timestamp::from_millis(0));
    /// let now = Timestamp::from_millis(100);
    /// let pause = Ending { waits_on: vec!["manager".into()], ..Ending::new(Status::Waiting) };
    /// // The manager answered while the body returned, so the run is due at once.
    /// header.end(pause, true, now);
    /// assert_eq!((header.status, header.wake), (Status::Waiting, Some(now)));
    /// ```
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

    /// Applies a request for cancellation at `now`. A waiting run becomes due at once.
    ///
    /// ```
    /// use awaitly_core::journal::{Header, Status, Timestamp};
    ///
    /// let now = Timestamp::from_millis(100);
    /// let mut header = Header::new("refund".into(), 1, Status::Waiting, Timestamp::from_millis(0));
    /// header.request_cancel(now);
    /// assert_eq!((header.cancel_requested, header.wake), (true, Some(now)));
    /// ```
    pub fn request_cancel(&mut self, now: Timestamp) {
        self.cancel_requested = true;
        if self.status == Status::Waiting {
            self.wake = Some(now);
        }
    }

    /// Returns the time from which the run is due, which may be in the future. Returns `None` if the run has ended, is
    /// paused, or waits only for an answer. `held_until` is the time at which the lease of its last owner ends, unless
    /// that owner released it.
    ///
    /// ```
    /// use awaitly_core::journal::{Header, Status, Timestamp};
    ///
    /// let (began, until) = (Timestamp::from_millis(0), Timestamp::from_millis(90));
    /// let header = Header::new("checkout".into(), 1, Status::Running, began);
    /// assert_eq!(header.due_at(Some(until)), Some(until)); // if its owner does not renew the lease
    /// assert_eq!(header.due_at(None), Some(began)); // interrupted
    /// ```
    #[must_use]
    pub fn due_at(&self, held_until: Option<Timestamp>) -> Option<Timestamp> {
        let held = |due: Timestamp| held_until.map_or(due, |until| due.max(until));
        match self.status {
            _ if self.paused => None,
            Status::Running => Some(held_until.unwrap_or(self.changed)),
            Status::Queued | Status::Waiting => self.wake.map(held),
            Status::Completed | Status::Failed | Status::Cancelled => None,
        }
    }

    /// Returns whether an execution of the run may have begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.status != Status::Queued
    }

    /// Applies a claim at `now` by a worker that serves the `version` of the workflow. `lapsed` and `progressed` are
    /// those of [`crashes`](crate::dispatch::crashes). A queued run is running from now on, and takes the version.
    ///
    /// ```
    /// use awaitly_core::journal::{Header, Status, Timestamp};
    ///
    /// let mut header = Header::new("checkout".into(), 0, Status::Queued, Timestamp::from_millis(0));
    /// header.claim(3, false, false, Timestamp::from_millis(100));
    /// assert_eq!((header.status, header.version), (Status::Running, 3));
    /// ```
    pub fn claim(&mut self, version: u32, lapsed: bool, progressed: bool, now: Timestamp) {
        self.crashes = crashes(self.crashes, lapsed, progressed);
        if self.status == Status::Queued {
            (self.status, self.version, self.changed, self.wake) = (Status::Running, version, now, None);
        }
    }

    /// Sets the run back to running from `now` on. If the run had ended, the count of its crashes begins anew.
    ///
    /// ```
    /// use awaitly_core::journal::{Header, Status, Timestamp};
    ///
    /// let mut header = Header::new("checkout".into(), 1, Status::Failed, Timestamp::from_millis(0));
    /// header.error = Some("the card was declined".into());
    /// header.revive(Timestamp::from_millis(100));
    /// assert_eq!((header.status, header.error), (Status::Running, None));
    /// ```
    pub fn revive(&mut self, now: Timestamp) {
        if self.status.has_ended() {
            self.crashes = 0;
        }
        self.status = Status::Running;
        self.outcome = None;
        self.error = None;
        self.failed_on = Vec::new();
        self.changed = now;
        self.wake = None;
    }
}

/// The decision about a request to open a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// The run is new: keep its header and grant a lease.
    Begin,
    /// Grant a lease, and change no other data.
    Take,
    /// The run has ended and stays unchanged: return its outcome.
    Ended,
    /// Change no data.
    Refuse(Refused),
}

/// The reason why a store refused to open a run. The store has changed no data.
///
/// ```
/// use awaitly_core::clock::secs;
/// use awaitly_core::journal::Refused;
///
/// let refused = Refused::Busy { remaining: secs(12) };
/// assert_eq!(refused.to_string(), "the run is held by another owner for another 12s");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Another owner holds the lease.
    #[error("the run is held by another owner for another {remaining:?}")]
    Busy {
        /// The remaining time of the lease, if its owner does not renew it.
        remaining: Duration,
    },
    /// The run id belongs to another workflow.
    #[error("the run belongs to the workflow `{workflow}`")]
    OtherWorkflow {
        /// The workflow of the run.
        workflow: Arc<str>,
    },
    /// A newer version of the workflow wrote the journal.
    #[error("the journal was written by version {stored}")]
    NewerVersion {
        /// The version of the journal.
        stored: u32,
    },
    /// The run began with another input.
    #[error("the run began with another input")]
    InputChanged,
    /// There is no such run, and the request does not begin one.
    #[error("there is no such run")]
    NoSuchRun,
    /// The request wants to cancel a run that another owner executes, and the body of the run declared that it is too
    /// late to cancel.
    #[error("it is too late to cancel the run")]
    TooLateToCancel,
}

/// Decides whether a run may be opened.
///
/// `stored` holds the header of the run, if it exists, and the remaining time of its lease, if an owner holds it.
///
/// A store calls this function inside the transaction that takes the lease. Alternatively, it calls the function on
/// data that it has read, and takes the lease only if that data is still current. All stores therefore decide alike. A
/// request without an input uses the run's own input.
///
/// ```
/// use awaitly_core::clock::secs;
/// use awaitly_core::journal::{Header, Opening, Refused, Status, Timestamp, admit};
/// use awaitly_core::store::{Open, Owner, RunId};
///
/// let open = Open::new(RunId::new("order-42").unwrap(), "checkout", Owner::unique());
/// let header = Header::new("checkout".into(), 1, Status::Running, Timestamp::from_millis(0));
/// // The process that held the lease has died, and its lease has expired.
/// assert_eq!(admit(&open, Some((&header, None))), Opening::Take);
/// // The process still executes the run.
/// let busy = Refused::Busy { remaining: secs(9) };
/// assert_eq!(admit(&open, Some((&header, Some(secs(9))))), Opening::Refuse(busy));
/// ```
#[must_use]
pub fn admit(request: &Open, stored: Option<(&Header, Option<Duration>)>) -> Opening {
    let Some((header, lease)) = stored else {
        return if request.must_exist { Opening::Refuse(Refused::NoSuchRun) } else { Opening::Begin };
    };
    if header.workflow != request.workflow {
        return Opening::Refuse(Refused::OtherWorkflow { workflow: Arc::clone(&header.workflow) });
    }
    if let (Some(given), Some(stored)) = (&request.input, header.input)
        && given.fingerprint != stored
    {
        return Opening::Refuse(Refused::InputChanged);
    }
    let may_be_taken = match request.purpose {
        Purpose::Resume => !header.status.has_ended(),
        Purpose::Retry => header.status != Status::Completed,
        Purpose::Cancel => !matches!(header.status, Status::Completed | Status::Failed),
    };
    if !may_be_taken {
        return Opening::Ended;
    }
    if header.version > request.version {
        return Opening::Refuse(Refused::NewerVersion { stored: header.version });
    }
    if let Some(remaining) = lease {
        return Opening::Refuse(Refused::Busy { remaining });
    }
    Opening::Take
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
    fn free_run_is_due_once_its_time_has_come() {
        let at = Timestamp::from_millis;
        let due = |status, wake, held| {
            let mut header = Header::new("checkout".into(), 1, status, at(5));
            header.wake = wake;
            let due = header.due_at(held);
            header.paused = true;
            assert_eq!(header.due_at(held), None);
            due
        };
        assert_eq!(due(Status::Running, None, None), Some(at(5)));
        assert_eq!(due(Status::Running, None, Some(at(10))), Some(at(10)));
        for status in [Status::Queued, Status::Waiting] {
            assert_eq!(due(status, None, Some(at(11))), None);
            assert_eq!(due(status, Some(at(10)), None), Some(at(10)));
            assert_eq!(due(status, Some(at(9)), Some(at(12))), Some(at(12)));
        }
        for ended in [Status::Completed, Status::Failed, Status::Cancelled] {
            assert_eq!(due(ended, Some(at(1)), None), None);
        }
    }

    #[test]
    fn unknown_run_begins() {
        assert_eq!(admit(&request(Purpose::Resume), None), Opening::Begin);
        assert_eq!(admit(&request(Purpose::Retry), None), Opening::Begin);
        let existing = request(Purpose::Retry).existing();
        assert_eq!(admit(&existing, None), Opening::Refuse(Refused::NoSuchRun));
        assert_eq!(admit(&existing, Some((&stored(Status::Failed), None))), Opening::Take);
    }

    #[test]
    fn unfinished_run_is_taken_over_once_its_lease_is_free() {
        for status in [Status::Running, Status::Waiting] {
            let header = stored(status);
            assert_eq!(admit(&request(Purpose::Resume), Some((&header, None))), Opening::Take);
            let held = Some(Duration::from_secs(3));
            assert_eq!(
                admit(&request(Purpose::Resume), Some((&header, held))),
                Opening::Refuse(Refused::Busy { remaining: Duration::from_secs(3) })
            );
        }
    }

    #[test]
    fn ended_run_stays_ended_until_it_is_retried() {
        for status in [Status::Completed, Status::Failed, Status::Cancelled] {
            let header = stored(status);
            assert_eq!(admit(&request(Purpose::Resume), Some((&header, None))), Opening::Ended);
        }
        assert_eq!(admit(&request(Purpose::Retry), Some((&stored(Status::Failed), None))), Opening::Take);
        assert_eq!(admit(&request(Purpose::Retry), Some((&stored(Status::Cancelled), None))), Opening::Take);
        assert_eq!(admit(&request(Purpose::Retry), Some((&stored(Status::Completed), None))), Opening::Ended);
    }

    #[test]
    fn run_that_completed_or_failed_is_not_cancelled() {
        for status in [Status::Running, Status::Waiting, Status::Cancelled] {
            let opening = admit(&request(Purpose::Cancel), Some((&stored(status), None)));
            assert_eq!(opening, Opening::Take);
        }
        for status in [Status::Completed, Status::Failed] {
            let opening = admit(&request(Purpose::Cancel), Some((&stored(status), None)));
            assert_eq!(opening, Opening::Ended);
        }
    }

    #[test]
    fn newer_journal_is_refused_unless_the_run_has_ended() {
        let mut header = stored(Status::Running);
        header.version = 3;
        assert_eq!(
            admit(&request(Purpose::Resume), Some((&header, None))),
            Opening::Refuse(Refused::NewerVersion { stored: 3 })
        );
        header.status = Status::Completed;
        assert_eq!(admit(&request(Purpose::Resume), Some((&header, None))), Opening::Ended);
    }

    #[test]
    fn run_id_of_another_workflow_is_refused() {
        let mut header = stored(Status::Completed);
        header.workflow = "refund".into();
        assert_eq!(
            admit(&request(Purpose::Resume), Some((&header, None))),
            Opening::Refuse(Refused::OtherWorkflow { workflow: "refund".into() })
        );
    }

    #[test]
    fn changed_input_is_refused_and_missing_input_is_accepted() {
        let with_input = request(Purpose::Resume).input(Input::of(&7).unwrap());
        let header = Header::begin(&with_input, Timestamp::from_millis(0));
        assert_eq!(admit(&with_input, Some((&header, None))), Opening::Take);
        assert_eq!(admit(&request(Purpose::Resume), Some((&header, None))), Opening::Take);
        let other = request(Purpose::Resume).input(Input::of(&8).unwrap());
        assert_eq!(admit(&other, Some((&header, None))), Opening::Refuse(Refused::InputChanged));
    }
}

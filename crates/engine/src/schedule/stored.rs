use std::sync::Arc;

use awaitly_core::journal::{DecodeError, Fingerprint, Payload, Timestamp};
use awaitly_core::store::{Input, InvalidRunId, RunId, StoreError, StoredSchedule, Submit};
use serde::{Deserialize, Serialize};

use super::{Overlap, Schedule};

/// A schedule as the store keeps it, with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) schedule: Schedule,
    pub(super) workflow: Arc<str>,
    /// The JSON form of the input of each run.
    pub(super) input: String,
    pub(super) fingerprint: Fingerprint,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub(super) queue: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Arc<str>>,
    #[serde(default)]
    pub(super) priority: i32,
    #[serde(default)]
    pub(super) paused: bool,
    /// The next time, without jitter. `None`: there is no further time.
    pub(super) next: Option<Timestamp>,
    /// The time of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Timestamp>,
    /// The time of the run that waits for the end of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) buffered: Option<Timestamp>,
}

impl Stored {
    pub(super) fn read(stored: &StoredSchedule) -> Result<Self, DecodeError> {
        stored.rule.decode()
    }

    /// Returns the form for the store. All its parts have a JSON form.
    pub(super) fn rule(&self) -> Payload {
        Payload::encode(self).unwrap_or_else(|_| Payload::from_stored("null"))
    }

    /// Returns whether another schedule starts equal runs at equal times.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let definition = |one: &Self| {
            let (input, place) = (one.fingerprint, (one.queue.clone(), one.key.clone(), one.priority));
            (one.schedule.clone(), one.workflow.clone(), input, place)
        };
        definition(self) == definition(other)
    }

    /// Returns this definition with the state of an earlier one. Its times that are due still start their runs if it is
    /// `live` and the rule is unchanged.
    pub(super) fn replacing(self, old: &Self, live: bool) -> Self {
        let next = if live && old.schedule.rule == self.schedule.rule { old.next } else { self.next };
        let buffered = old.buffered.filter(|_| self.schedule.overlap == Overlap::Buffer);
        Self { paused: old.paused, last: old.last, next, buffered, ..self }
    }

    /// Returns the time at which a worker looks at the schedule, before the delay of its jitter. A run that waits for the end
    /// of the last one is due already.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.buffered.or(self.next).filter(|_| !self.paused)
    }

    /// Refuses a definition whose runs no store keeps.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let parts = [
            ("the input", self.input.len(), Payload::MAX_BYTES),
            ("the name of the workflow", self.workflow.len(), RunId::MAX_BYTES),
            ("the name of the queue", self.queue.len(), RunId::MAX_BYTES),
            ("the key", self.key.as_ref().map_or(0, |key| key.len()), RunId::MAX_BYTES),
        ];
        let Some((what, bytes, most)) = parts.into_iter().find(|(_, bytes, most)| bytes > most) else {
            return Ok(());
        };
        let detail = format!("{what} of the runs has {bytes} bytes, at most {most} are taken").into();
        Err(StoreError::Unstorable { detail })
    }

    /// Returns the submission of the run for `moment`.
    pub(super) fn submit(&self, name: &str, moment: Timestamp) -> Result<Submit, InvalidRunId> {
        let payload = Payload::from_stored(self.input.clone());
        let input = Input { payload, fingerprint: self.fingerprint };
        let submit = Submit::new(run_id(name, moment)?, Arc::clone(&self.workflow)).input(input);
        let submit = submit.queue(Arc::clone(&self.queue)).priority(self.priority);
        Ok(match &self.key {
            Some(key) => submit.key(Arc::clone(key)),
            None => submit,
        })
    }
}

/// Returns the id of the run of a schedule for `moment`.
pub(super) fn run_id(name: &str, moment: Timestamp) -> Result<RunId, InvalidRunId> {
    RunId::new(format!("{name}@{}", text(moment)))
}

/// Returns a moment in the form of RFC 3339, in UTC.
fn text(moment: Timestamp) -> String {
    let millis = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |moment| moment.to_string())
}

/// Returns the time for which a schedule started a run, from the id of the run. Returns `None` if the id does not end
/// with `@` and a time.
///
/// ```
/// use awaitly_engine::scheduled_for;
///
/// assert_eq!(scheduled_for("nightly@1970-01-01T00:00:01Z").map(|time| time.as_millis()), Some(1000));
/// assert_eq!(scheduled_for("order-42"), None);
/// ```
#[must_use]
pub fn scheduled_for(run: &str) -> Option<Timestamp> {
    let (_, moment) = run.rsplit_once('@')?;
    let moment: jiff::Timestamp = moment.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok().map(Timestamp::from_millis)
}

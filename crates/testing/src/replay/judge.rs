//! From the body's requests and the records to the report, as pure functions.

use std::collections::HashSet;

use awaitly_core::RunError;
use awaitly_core::event::{EventKind, StepId};
use awaitly_core::extend::stage;
use awaitly_core::journal::{Header, Key, Kind, Outcome, Record, Status, Timestamp};
use serde::Deserialize;
use similar::TextDiff;

use super::Finding;
use super::report::{Course, NextStep, Reason, Replay};
use super::witness::{Notes, Now};
use crate::keys::{is_notice, outer_keys};
use crate::report::RunEnding;

/// The minimum similarity of two keys, from 0 to 1, to suggest a rename.
const ALIKE: f32 = 0.4;

/// The observations of a check.
pub(super) struct Seen<'a> {
    pub(super) notes: &'a Notes,
    /// The records, migrated to the version of the code.
    pub(super) records: &'a [Record],
    /// The questions that were open.
    pub(super) questions: &'a [Key],
    /// The recorded and asked keys that the code knows.
    pub(super) known: HashSet<Key>,
    pub(super) moment: Timestamp,
}

/// The recorded value of a durable sleep.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waking {
    until_ms: Timestamp,
}

/// Returns the recorded sleeps that the body reached and that are not over. A record does not state that its step is
/// a sleep, but no other step has a record of this form.
fn sleeps(notes: &Notes, records: &[Record], moment: Timestamp) -> Vec<Key> {
    let reused: HashSet<_> = notes.reused.iter().collect();
    let lasts = |record: &Record| {
        let waking = record.outcome.payload().decode::<Waking>();
        waking.is_ok_and(|waking| waking.until_ms > moment)
    };
    let found = records.iter().filter(|record| reused.contains(&record.key) && lasts(record));
    found.map(|record| record.key.clone()).collect()
}

impl Replay {
    /// Adds the requested steps to the report, and the records that the body did not ask for.
    pub(super) fn judge(&mut self, seen: &Seen<'_>) {
        let Seen { notes, records, .. } = seen;
        self.reused.clone_from(&notes.reused);
        self.waits.clone_from(&notes.waits);
        self.would_run = would_run(notes, records);
        self.sleeps = sleeps(notes, records, seen.moment);
        self.findings.extend(notes.refusals.iter().map(|(key, error)| match error {
            RunError::Undecodable { what, type_name, reason } => Finding::Undecodable {
                step: key.clone(),
                what: what.clone(),
                type_name: type_name.clone(),
                reason: reason.clone(),
            },
            error => Finding::Refused(error.clone()),
        }));
        let misfits = notes.misfits.iter().filter_map(|(step, misfit)| wrong_type(notes, step, *misfit));
        self.findings.extend(misfits);
        self.find_unrequested(seen);
    }

    fn find_unrequested(&mut self, seen: &Seen<'_>) {
        // If the body ended on its own, it will never ask for the remaining records.
        let ended = matches!(self.ending, Some(RunEnding::Completed | RunEnding::Failed(_)));
        let is_certain = ended && self.findings.is_empty();
        for Record { key, .. } in seen.records {
            match seen.relation(key) {
                Relation::Requested => {}
                Relation::PassedOver => self.passed_over.push(key.clone()),
                Relation::Unchecked => self.unchecked.push(key.clone()),
                Relation::Skipped => self.findings.push(Finding::StepSkipped { key: key.clone() }),
                Relation::Unrequested => {
                    let new_key = self.new_key(key);
                    let key = key.clone();
                    self.findings.push(match is_certain {
                        true => Finding::StepLost { key, new_key },
                        false => self.not_reached(key, false, new_key),
                    });
                }
            }
        }
        let requested = |key: &Key| seen.notes.asked.contains(key) || seen.known.contains(key);
        for key in seen.questions.iter().filter(|key| !requested(key)) {
            let key = key.clone();
            self.findings.push(match is_certain {
                true => Finding::QuestionLost { key },
                false => {
                    let new_key = self.new_key(&key);
                    self.not_reached(key, true, new_key)
                }
            });
        }
    }

    fn not_reached(&self, key: Key, is_question: bool, new_key: Option<Key>) -> Finding {
        let stopped_at = self.stopped_at().map(str::to_owned).collect();
        Finding::NotReached { key, is_question, new_key, stopped_at }
    }

    /// Returns the unrecorded step or question that is most likely this one under a new name.
    fn new_key(&self, lost: &Key) -> Option<Key> {
        let new = self.would_run.iter().filter(|step| step.reason == Reason::NotRecorded);
        let candidates = new.map(|step| &step.key).chain(&self.waits);
        let alike = |key: &Key| TextDiff::from_chars(&**lost, &**key).ratio();
        let likely = candidates.map(|key| (alike(key), key)).filter(|(alike, _)| *alike >= ALIKE);
        likely.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, key)| key.clone())
    }

    /// Returns whether an idle body has reached its natural stopping point: it asked for all records, and it stopped
    /// at a step or sleeps.
    pub(super) fn is_settled(&self) -> bool {
        let all_requested = !self.findings.iter().any(Finding::is_unrequested);
        all_requested && (self.stopped_at().next().is_some() || !self.sleeps.is_empty())
    }

    /// Returns a finding if the body ended differently than the recorded run. A body that did not end proves no
    /// difference.
    pub(super) fn ends_differently(&self, panicked: bool) -> Option<Finding> {
        let differs = match (&self.recorded_ending, self.ending.as_ref()?) {
            (Some(RunEnding::Failed(_)), RunEnding::Completed)
            | (Some(RunEnding::Completed), RunEnding::Failed(_)) => true,
            (Some(RunEnding::Failed(_)), RunEnding::Failed(_)) => false,
            (_, RunEnding::Failed(_)) => panicked,
            _ => false,
        };
        let (recorded, now) = (self.recorded_ending.clone(), self.ending.clone()?);
        differs.then_some(Finding::EndsDifferently { recorded, now })
    }
}

/// Returns the mismatch between a given value and its step. `None` if no value was given.
fn wrong_type(notes: &Notes, step: &StepId, misfit: stage::Misfit) -> Option<Finding> {
    let StepId { key, name } = step;
    let step = if notes.missed.contains(key) { key } else { name }.clone();
    let (given, expected) = match misfit {
        stage::Misfit::OtherType { given, expected } => (given, Some(expected.into())),
        stage::Misfit::Borrows { given } => (given, None),
        stage::Misfit::Unscripted => return None,
    };
    Some(Finding::WrongType { step, given: given.into(), expected })
}

/// The relation of a recorded key to the body.
enum Relation {
    Requested,
    PassedOver,
    Unchecked,
    Skipped,
    Unrequested,
}

impl Seen<'_> {
    fn relation(&self, key: &Key) -> Relation {
        let Notes { asked, reused, started, skipped, .. } = self.notes;
        if skipped.contains(key) {
            return Relation::Skipped;
        }
        if asked.contains(key) {
            return Relation::Requested;
        }
        let is_question =
            |step: &str| self.notes.asked.iter().chain(&self.known).any(|key| key.as_str() == step);
        if self.known.contains(key) || is_notice(key, is_question) {
            return Relation::PassedOver;
        }
        // A step executes its nested steps inside its operation. If the outer step was reused, its nested records are
        // no longer needed. If it would run, the check does not call the operation, so it cannot know whether the
        // nested records would be found.
        let outer = outer_keys(key);
        if outer.iter().any(|outer| reused.iter().any(|key| &**key == *outer)) {
            return Relation::PassedOver;
        }
        if outer.iter().any(|outer| started.iter().any(|started| &*started.step.key == *outer)) {
            return Relation::Unchecked;
        }
        Relation::Unrequested
    }
}

fn would_run(notes: &Notes, records: &[Record]) -> Vec<NextStep> {
    let reason = |key: &Key| {
        let record = records.iter().find(|record| record.key == *key);
        match record.map(|record| record.outcome.kind()) {
            _ if !notes.missed.contains(key) => Reason::Volatile,
            None => Reason::NotRecorded,
            Some(Kind::Value) => Reason::InputChanged,
            Some(Kind::Failed | Kind::Stopped) => Reason::Failed,
        }
    };
    let started = notes.started.iter().map(|started| {
        let course = match started.now {
            Now::Stands => Course::Stopped,
            Now::Ended => Course::Given,
            Now::Dropped => Course::Dropped,
        };
        let (key, name) = (started.step.key.clone(), started.step.name.clone());
        NextStep { reason: reason(&key), key, name, course }
    });
    started.collect()
}

/// Returns the recorded ending of the run.
pub(super) fn recorded_ending(header: &Header) -> Option<RunEnding> {
    Some(match header.status {
        Status::Queued | Status::Running | Status::Waiting => return None,
        Status::Completed => RunEnding::Completed,
        Status::Cancelled => RunEnding::Cancelled,
        Status::Failed => RunEnding::Failed(header.error.as_deref().unwrap_or_default().to_owned()),
    })
}

/// Returns the ending of the body, from its last event.
pub(super) fn ending(last: Option<&EventKind>) -> RunEnding {
    last.and_then(RunEnding::of_event).unwrap_or(RunEnding::NotBegun)
}

/// Returns whether the outcome of a run is a panic.
pub(super) fn is_panic(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stopped(payload) => matches!(payload.decode(), Ok(RunError::Panicked { .. })),
        Outcome::Value(_) | Outcome::Failed(_) => false,
    }
}

/// Returns whether two results of one kind differ, regardless of the order of map entries.
pub(super) fn differ(recorded: Option<&Outcome>, now: Option<&Outcome>) -> bool {
    let (Some(recorded), Some(now)) = (recorded, now) else { return false };
    let value = |outcome: &Outcome| outcome.payload().decode::<serde_json::Value>().ok();
    recorded.kind() == now.kind() && value(recorded) != value(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_keys_are_prefixes_of_the_key() {
        assert_eq!(outer_keys("pay@2/charge/card"), ["pay@2", "pay", "pay@2/charge"]);
        assert_eq!(outer_keys("pay"), [""; 0]);
    }
}

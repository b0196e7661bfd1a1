//! From the body's requests and the records to the report, as pure functions.

use std::collections::HashSet;

use awaitly_core::RunError;
use awaitly_core::event::{EventKind, StepId};
use awaitly_core::extend::stage;
use awaitly_core::journal::{Header, Key, Kind, Outcome, Record, Status, Timestamp};
use serde::Deserialize;

use super::report::{End, Here, Misfit, Replay, Sleeping, Unasked, Undecodable, What, Why, WouldRun};
use super::witness::{Notes, Now};
use crate::keys::{is_notice, outer_keys};

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
fn sleeps(notes: &Notes, records: &[Record], moment: Timestamp) -> Vec<Sleeping> {
    let reused: HashSet<_> = notes.reused.iter().collect();
    let found = records.iter().filter(|record| reused.contains(&record.key)).filter_map(|record| {
        let until = record.outcome.payload().decode::<Waking>().ok()?.until_ms;
        (until > moment).then(|| Sleeping { key: record.key.clone(), until })
    });
    found.collect()
}

impl Replay {
    /// Adds the requested steps to the report, and the records that the body did not ask for.
    pub(super) fn judge(&mut self, seen: &Seen<'_>) {
        let Seen { notes, records, .. } = seen;
        self.reused.clone_from(&notes.reused);
        self.waits.clone_from(&notes.waits);
        self.would_run = would_run(notes, records);
        self.sleeps = sleeps(notes, records, seen.moment);
        for (key, error) in &notes.refusals {
            match error {
                RunError::Undecodable { what, type_name, reason } => self.undecodable.push(Undecodable {
                    key: key.clone(),
                    what: what.clone(),
                    type_name: type_name.clone(),
                    reason: reason.clone(),
                }),
                error => self.refused.push(error.clone()),
            }
        }
        self.misfits =
            notes.misfits.iter().filter_map(|(step, misfit)| found(notes, step, *misfit)).collect();
        self.sort_unasked(seen);
    }

    fn sort_unasked(&mut self, seen: &Seen<'_>) {
        for Record { key, .. } in seen.records {
            match seen.place(key) {
                Place::Asked => {}
                Place::PassedOver => self.passed_over.push(key.clone()),
                Place::Unchecked => self.unchecked.push(key.clone()),
                Place::Skipped => self.lose(key, What::Skipped, true),
                Place::Unasked => self.lose(key, What::Outcome, self.is_certain()),
            }
        }
        let asked = |key: &Key| seen.notes.asked.contains(key) || seen.known.contains(key);
        for key in seen.questions.iter().filter(|key| !asked(key)) {
            self.lose(key, What::Question, self.is_certain());
        }
    }

    fn lose(&mut self, key: &Key, what: What, certain: bool) {
        let lost = if certain { &mut self.never_asked } else { &mut self.not_reached };
        lost.push(Unasked { key: key.clone(), what });
    }
}

/// Returns the mismatch between a given value and its step. `None` if no value was given.
fn found(notes: &Notes, step: &StepId, misfit: stage::Misfit) -> Option<Misfit> {
    let StepId { key, name } = step;
    let step = if notes.missed.contains(key) { key } else { name }.clone();
    match misfit {
        stage::Misfit::OtherType { given, expected } => {
            Some(Misfit { step, given: given.into(), expected: Some(expected.into()) })
        }
        stage::Misfit::Borrows { given } => Some(Misfit { step, given: given.into(), expected: None }),
        stage::Misfit::Unscripted => None,
    }
}

/// The relation of a recorded key to the body.
enum Place {
    Asked,
    PassedOver,
    Unchecked,
    Skipped,
    Unasked,
}

impl Seen<'_> {
    fn place(&self, key: &Key) -> Place {
        let Notes { asked, reused, started, skipped, .. } = self.notes;
        if skipped.contains(key) {
            return Place::Skipped;
        }
        if asked.contains(key) {
            return Place::Asked;
        }
        let is_question =
            |step: &str| self.notes.asked.iter().chain(&self.known).any(|key| key.as_str() == step);
        if self.known.contains(key) || is_notice(key, is_question) {
            return Place::PassedOver;
        }
        // A step executes its nested steps inside its operation. If the outer step was reused, its nested records are
        // no longer needed. If it would run, the check does not call the operation, so it cannot know whether the
        // nested records would be found.
        let outer = outer_keys(key);
        if outer.iter().any(|outer| reused.iter().any(|key| &**key == *outer)) {
            return Place::PassedOver;
        }
        if outer.iter().any(|outer| started.iter().any(|started| &*started.step.key == *outer)) {
            return Place::Unchecked;
        }
        Place::Unasked
    }
}

fn would_run(notes: &Notes, records: &[Record]) -> Vec<WouldRun> {
    let why = |key: &Key| {
        let record = records.iter().find(|record| record.key == *key);
        match record.map(|record| record.outcome.kind()) {
            _ if !notes.missed.contains(key) => Why::Volatile,
            None => Why::NotRecorded,
            Some(Kind::Value) => Why::InputChanged,
            Some(Kind::Failed | Kind::Stopped) => Why::Failed,
        }
    };
    let started = notes.started.iter().map(|started| {
        let here = match started.now {
            Now::Stands => Here::Stopped,
            Now::Ended => Here::Given,
            Now::Dropped => Here::Dropped,
        };
        let (key, name) = (started.step.key.clone(), started.step.name.clone());
        WouldRun { why: why(&key), key, name, here }
    });
    started.collect()
}

/// Returns the recorded ending of the run.
pub(super) fn recorded_end(header: &Header) -> Option<End> {
    let error = || header.error.clone().unwrap_or_default();
    Some(match header.status {
        Status::Running | Status::Waiting => return None,
        Status::Completed => End::Completed,
        Status::Cancelled => End::Cancelled,
        Status::Failed => match header.outcome.as_ref().and_then(panic_message) {
            Some(message) => End::Panicked(message),
            None => End::Failed(error()),
        },
    })
}

/// Returns the ending of the body, from its last event and its stored outcome.
pub(super) fn end(told: Option<&EventKind>, kept: Option<&Outcome>) -> End {
    match told {
        Some(EventKind::RunSucceeded { .. }) => End::Completed,
        Some(EventKind::RunFailed { error, .. }) => match kept.and_then(panic_message) {
            Some(message) => End::Panicked(message),
            None => End::Failed(error.as_str().into()),
        },
        Some(EventKind::RunWaiting { .. }) => End::Waiting,
        Some(EventKind::RunCancelled { .. }) => End::Cancelled,
        _ => End::Refused,
    }
}

fn panic_message(outcome: &Outcome) -> Option<Box<str>> {
    match outcome {
        Outcome::Stopped(payload) => match payload.decode() {
            Ok(RunError::Panicked { message, .. }) => Some(message),
            _ => None,
        },
        Outcome::Value(_) | Outcome::Failed(_) => None,
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

use std::time::Duration;

use crate::error::RunError;
use crate::journal::{Key, Timestamp};

/// The time after which a run is resumed that waits for another run, which it called: the end of that run wakes no other
/// one.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why a run stopped, as far as the library knows.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stop {
    /// The run cannot go on: every later step ends in this.
    pub(crate) fatal: Option<RunError>,
    /// The steps at which it waits.
    pub(crate) waits: Vec<Waits>,
    /// How many waits were noted so far.
    pub(super) noted: u64,
    /// The body called another run, which has no result yet.
    pub(crate) other_run: bool,
    /// The run was cancelled.
    pub(crate) cancelled: bool,
    /// The first step that the cancellation refused or ended.
    pub(crate) cancelled_at: Option<Key>,
    /// The recorded steps that failed last: those between whose failures no step was built.
    pub(crate) failed_on: Vec<Key>,
    /// A step was built since the last of those failures.
    pub(crate) stale: bool,
    /// The step whose operation panicked.
    pub(crate) panicked: Option<Key>,
    /// The steps that were undone because the run was cancelled: a retry does them anew.
    pub(crate) undone: Vec<Key>,
    /// The steps that could not be undone: a person has to look at them, and a retry tries the undo again, whatever the
    /// body did since.
    pub(crate) stuck: Vec<Key>,
}

/// A step at which the run waits.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    /// The step.
    pub(crate) step: Key,
    /// Whether an answer recorded under its key ends the wait.
    pub(crate) for_answer: bool,
    /// When the run is to be resumed without an answer.
    pub(crate) wake: Option<Timestamp>,
    /// Whether a compensation waits: then neither a cancellation nor the run's deadline ends the wait.
    pub(crate) in_undo: bool,
    /// The number of the wait among all waits of the execution. [`Stopping::note_waiting`](super::Stopping::note_waiting)
    /// sets it.
    pub(crate) number: u64,
}

impl Waits {
    /// Returns a wait at `step` that an answer does not end.
    pub(crate) const fn at(step: Key) -> Self {
        Self { step, for_answer: false, wake: None, in_undo: false, number: 0 }
    }
}

/// How an undoing has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undoing {
    /// All was undone: a retry begins anew.
    Done,
    /// Some of it failed: a retry goes on with it.
    GaveUp,
}

impl Stop {
    /// Returns whether a compensation waits.
    pub(crate) fn undo_waits(&self) -> bool {
        self.waits.iter().any(|waits| waits.in_undo)
    }

    /// Returns whether the run waits, for an answer, for a moment, or for another run.
    pub(crate) fn is_waiting(&self) -> bool {
        self.other_run || !self.waits.is_empty()
    }

    /// Returns the keys under which the run waits for an answer.
    pub(crate) fn waits_on(&self) -> Vec<Key> {
        let waits = self.waits.iter().filter(|waits| waits.for_answer);
        waits.map(|waits| waits.step.clone()).collect()
    }

    /// Returns when the run is to be resumed without an answer.
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        self.waits.iter().filter_map(|waits| waits.wake).min()
    }

    /// Takes note that the run waits at a step.
    pub(super) fn note_waiting(&mut self, waits: Waits) {
        self.waits.retain(|before| before.step != waits.step);
        self.waits.push(Waits { number: self.noted, ..waits });
        self.noted += 1;
    }

    /// Takes note that the wait at `step` ends at `wake` at the latest.
    pub(super) fn wake_at(&mut self, step: &Key, wake: Timestamp) {
        for waits in self.waits.iter_mut().filter(|waits| waits.step == *step) {
            waits.wake = Some(waits.wake.map_or(wake, |before| before.min(wake)));
        }
    }

    /// Takes note that a step failed; `key` is that of a recorded failure. A failure from before the body went on is not
    /// what the run fails on now. Returns whether there is one more step that the run failed on.
    pub(super) fn note_failure(&mut self, key: Option<&Key>) -> bool {
        self.other_run = false;
        if std::mem::take(&mut self.stale) {
            self.failed_on.clear();
        }
        let fresh = key.filter(|key| !self.failed_on.contains(key));
        self.failed_on.extend(fresh.cloned());
        fresh.is_some()
    }

    /// Takes note that an undoing has come to an end: a retry of the run drops these keys.
    pub(super) fn note_undoing(&mut self, undoing: Undoing, keys: Vec<Key>, cancelled: bool) {
        self.stale = false;
        match undoing {
            Undoing::Done => {
                if cancelled || self.cancelled {
                    self.undone.extend(keys.iter().cloned());
                }
                // Of several that were undone side by side, a retry begins each anew.
                self.failed_on.extend(keys);
                self.failed_on.sort_unstable();
                self.failed_on.dedup();
            }
            Undoing::GaveUp => {
                self.failed_on.clear();
                self.stuck.extend(keys);
            }
        }
    }
}

use std::time::Duration;

use crate::error::RunError;
use crate::journal::{Key, Timestamp};

/// The delay after which a run that waits for another run is resumed, because the end of the other run does not wake
/// it.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The reason why a run stopped, as far as the library knows it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stop {
    /// The error in which every later step ends, because the run cannot continue.
    pub(crate) fatal: Option<RunError>,
    /// The steps at which the run waits.
    pub(crate) waits: Vec<Waits>,
    /// The number of waits noted so far.
    pub(super) noted: u64,
    /// The body called another run, which has no result yet.
    pub(crate) other_run: bool,
    /// The run was cancelled.
    pub(crate) cancelled: bool,
    /// The first step that the cancellation refused or ended.
    pub(crate) cancelled_at: Option<Key>,
    /// The recorded steps that failed last, without another step built between the failures.
    pub(crate) failed_on: Vec<Key>,
    /// A step was built since the last of these failures.
    pub(crate) stale: bool,
    /// The step whose operation panicked.
    pub(crate) panicked: Option<Key>,
    /// The steps that were undone because the run was cancelled. A retry executes them again.
    pub(crate) undone: Vec<Key>,
    /// The steps that could not be undone. They need a person's attention, and a retry tries the undo again regardless
    /// of later work of the body.
    pub(crate) stuck: Vec<Key>,
}

/// A step at which the run waits.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    /// The step.
    pub(crate) step: Key,
    /// Whether an answer recorded under the step's key ends the wait.
    pub(crate) for_answer: bool,
    /// The moment at which the run resumes without an answer.
    pub(crate) wake: Option<Timestamp>,
    /// Whether a compensation waits. Neither a cancellation nor the run's deadline ends such a wait.
    pub(crate) in_undo: bool,
    /// The number of the wait among all waits of the execution.
    /// [`Stopping::note_waiting`](super::Stopping::note_waiting) sets it.
    pub(crate) number: u64,
}

impl Waits {
    /// Returns a wait at `step` that no answer ends.
    pub(crate) const fn at(step: Key) -> Self {
        Self { step, for_answer: false, wake: None, in_undo: false, number: 0 }
    }
}

/// The end of an undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undone {
    /// All steps were undone: a retry begins again.
    All,
    /// A compensation failed: a retry continues with it.
    InPart,
}

impl Stop {
    /// Returns whether a compensation waits.
    pub(crate) fn undo_waits(&self) -> bool {
        self.waits.iter().any(|waits| waits.in_undo)
    }

    /// Returns whether the run waits for an answer, a moment or another run.
    pub(crate) fn is_waiting(&self) -> bool {
        self.other_run || !self.waits.is_empty()
    }

    /// Returns the keys under which the run waits for an answer.
    pub(crate) fn waits_on(&self) -> Vec<Key> {
        let waits = self.waits.iter().filter(|waits| waits.for_answer);
        waits.map(|waits| waits.step.clone()).collect()
    }

    /// Returns the moment at which the run resumes without an answer.
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        self.waits.iter().filter_map(|waits| waits.wake).min()
    }

    /// Notes that the run waits at a step.
    pub(super) fn note_waiting(&mut self, waits: Waits) {
        self.waits.retain(|before| before.step != waits.step);
        self.waits.push(Waits { number: self.noted, ..waits });
        self.noted += 1;
    }

    /// Notes that the wait at `step` ends at `wake` at the latest.
    pub(super) fn wake_at(&mut self, step: &Key, wake: Timestamp) {
        for waits in self.waits.iter_mut().filter(|waits| waits.step == *step) {
            waits.wake = Some(waits.wake.map_or(wake, |before| before.min(wake)));
        }
    }

    /// Notes the failure of a step; `key` is the key of a recorded failure. Failures before the body continued are no
    /// longer the cause of the run's failure. Returns whether the run failed on one more step.
    pub(super) fn note_failure(&mut self, key: Option<&Key>) -> bool {
        self.other_run = false;
        if std::mem::take(&mut self.stale) {
            self.failed_on.clear();
        }
        let fresh = key.filter(|key| !self.failed_on.contains(key));
        self.failed_on.extend(fresh.cloned());
        fresh.is_some()
    }

    /// Notes the end of an undo: a retry of the run drops these keys.
    pub(super) fn note_undone(&mut self, undone: Undone, keys: Vec<Key>, cancelled: bool) {
        self.stale = false;
        match undone {
            Undone::All => {
                if cancelled || self.cancelled {
                    self.undone.extend(keys.iter().cloned());
                }
                // If several sagas were undone concurrently, a retry begins each of them again.
                self.failed_on.extend(keys);
                self.failed_on.sort_unstable();
                self.failed_on.dedup();
            }
            Undone::InPart => {
                self.failed_on.clear();
                self.stuck.extend(keys);
            }
        }
    }
}

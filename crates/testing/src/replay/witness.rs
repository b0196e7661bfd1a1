use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::future::{pending, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};

use awaitly_core::RunError;
use awaitly_core::event::{Event, EventKind, StepId};
use awaitly_core::extend::stage::{Cue, Misfit, Prop, SCRIPT, Scene, Stage};
use awaitly_core::journal::Key;

/// The caller's instruction for an unrecorded step.
pub(super) enum Given {
    Value(Box<dyn Fn() -> Prop + Send + Sync>),
    /// The operation is called.
    Operation,
}

impl Given {
    pub(super) fn value<T: Any + Send>(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self::Value(Box::new(move || Prop::new(make())))
    }
}

/// A stage that replaces all operations, except those that the caller allowed, and records the body's requests.
#[derive(Default)]
pub(super) struct Witness {
    given: HashMap<Key, Given>,
    notes: Mutex<Notes>,
}

/// The requests of the body.
#[derive(Default, Clone)]
pub(super) struct Notes {
    /// The keys of all steps that reached the journal.
    pub(super) asked: HashSet<Key>,
    /// The keys of the recordable steps without a reusable record.
    pub(super) missed: HashSet<Key>,
    pub(super) reused: Vec<Key>,
    pub(super) started: Vec<Started>,
    pub(super) waits: Vec<Key>,
    pub(super) skipped: HashSet<Key>,
    /// The errors with which the library refused to continue.
    pub(super) refusals: Vec<(Option<Key>, RunError)>,
    /// The steps that received a value of a wrong type, with the mismatch.
    pub(super) misfits: Vec<(StepId, Misfit)>,
    /// The keys and names of given values that a step used.
    pub(super) used: HashSet<Key>,
    /// The last event about the end of the run.
    pub(super) end: Option<EventKind>,
}

/// A step that began.
#[derive(Clone)]
pub(super) struct Started {
    pub(super) step: StepId,
    pub(super) now: Now,
}

/// The course of a step that began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Now {
    Stands,
    Ended,
    Dropped,
}

impl Witness {
    pub(super) fn new(given: HashMap<Key, Given>) -> Self {
        Self { given, notes: Mutex::default() }
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the keys and names with a given value that no step used.
    pub(super) fn unused(&self) -> Vec<Key> {
        let notes = self.notes();
        let mut unused: Vec<_> =
            self.given.keys().filter(|key| !notes.used.contains(*key)).cloned().collect();
        unused.sort_unstable();
        unused
    }

    pub(super) fn hear(&self, event: &Event) {
        self.notes().hear(&event.kind);
    }
}

impl Notes {
    fn hear(&mut self, kind: &EventKind) {
        if let Some(StepId { key, .. }) = kind.step() {
            self.asked.insert(key.clone());
        }
        match kind {
            EventKind::StepMissed { step } => drop(self.missed.insert(step.key.clone())),
            EventKind::StepReused { step } => self.reused.push(step.key.clone()),
            EventKind::StepStarted { step } => {
                self.started.push(Started { step: step.clone(), now: Now::Stands });
            }
            EventKind::StepSucceeded { step, .. } | EventKind::StepFailed { step, .. } => {
                self.becomes(step, Now::Ended);
            }
            EventKind::StepAborted { step, .. } => self.becomes(step, Now::Dropped),
            EventKind::StepWaiting { step } => self.waits.push(step.key.clone()),
            EventKind::StepSkipped { step, .. } => drop(self.skipped.insert(step.key.clone())),
            EventKind::RunSucceeded { .. }
            | EventKind::RunFailed { .. }
            | EventKind::RunWaiting { .. }
            | EventKind::RunCancelled { .. }
            | EventKind::RunInterrupted { .. } => self.end = Some(kind.clone()),
            _ => {}
        }
    }

    fn becomes(&mut self, step: &StepId, now: Now) {
        if let Some(started) = self.started.iter_mut().find(|started| started.step == *step) {
            started.now = now;
        }
    }
}

impl Stage for Witness {
    fn looks_up(&self, _: &str, step: &StepId) {
        self.notes().asked.insert(step.key.clone());
    }

    fn attempt(&self, step: &StepId, _: u32) -> Option<Scene> {
        let given = [&step.key, &step.name].into_iter().find_map(|key| self.given.get_key_value(key));
        let Some((key, given)) = given else { return Some(Box::pin(pending())) };
        self.notes().used.insert(key.clone());
        match given {
            Given::Value(make) => Some(Box::pin(ready(Cue::Value(make())))),
            Given::Operation => None,
        }
    }

    fn misfits(&self, step: &StepId, misfit: &Misfit) {
        self.notes().misfits.push((step.clone(), *misfit));
    }

    fn body_returned(&self, _: &str, _: bool, stopped: Option<&RunError>, _: &dyn Fn(&str) -> bool) {
        let mut notes = self.notes();
        if let Some(error) = stopped
            && !is_of_a_misfit(error)
            && !notes.refusals.iter().any(|(_, refusal)| refusal == error)
        {
            notes.refusals.push((None, error.clone()));
        }
    }

    fn refuses(&self, step: Option<&StepId>, error: &RunError) {
        if !is_of_a_misfit(error) {
            self.notes().refusals.push((step.map(|step| step.key.clone()), error.clone()));
        }
    }
}

/// Returns whether the error repeats a mismatch that was already reported.
fn is_of_a_misfit(error: &RunError) -> bool {
    matches!(error, RunError::Refused { by, .. } if **by == *SCRIPT)
}

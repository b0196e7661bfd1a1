use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::event::{Event, EventKind, StepId};
use awaitly_core::journal::Key;

use crate::script::Problem;

/// The record of a run's events and attempts.
pub(crate) struct Log {
    run: Arc<str>,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    happened: Happened,
    problems: Vec<Problem>,
}

/// The events and attempts of one run.
#[derive(Default)]
pub(crate) struct Happened {
    pub(crate) events: Vec<Event>,
    /// The attempts that began, each with the number of events before it.
    pub(crate) attempts: Vec<(usize, Key)>,
    /// The keys under which sagas record that they are being undone; each identifies a saga.
    sagas: Vec<Key>,
}

impl Log {
    /// Creates the log of a run, which appears in the report under the id `run`.
    pub(crate) fn new(run: Arc<str>) -> Self {
        Self { run, pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heard(&self, event: &Event) {
        let mut event = event.clone();
        // A volatile run has a random id; replace it so that reports are reproducible.
        event.run = Arc::clone(&self.run);
        let happened = &mut self.pages().happened;
        if let EventKind::SagaStarted { saga } = &event.kind {
            happened.sagas.push(saga.clone());
        }
        happened.events.push(event);
    }

    /// Records that an attempt begins, after all guards have admitted it.
    pub(crate) fn attempt_begins(&self, step: &StepId) {
        let happened = &mut self.pages().happened;
        let at = happened.events.len();
        happened.attempts.push((at, step.key.clone()));
    }

    pub(crate) fn does_not_fit(&self, problem: Problem) {
        self.pages().problems.push(problem);
    }

    pub(crate) fn has_problem_at(&self, step: &Key) -> bool {
        let is_there =
            |problem: &Problem| matches!(problem, Problem::AnswerWithoutQuestion { step: at } if at == step);
        self.pages().problems.iter().any(is_there)
    }

    pub(crate) fn keeps_book(&self, key: &str) -> bool {
        self.pages().happened.keeps_book(key)
    }

    /// Takes the recorded events and attempts, and the script problems, out of the log.
    pub(crate) fn take(&self) -> (Happened, Vec<Problem>) {
        let pages = std::mem::take(&mut *self.pages());
        (pages.happened, pages.problems)
    }
}

impl Happened {
    /// Returns whether a saga records the state of its undo under this key.
    pub(crate) fn keeps_book(&self, key: &str) -> bool {
        self.sagas.iter().any(|saga| {
            key.strip_prefix(&**saga).is_some_and(|rest| rest.is_empty() || rest.starts_with(": done"))
        })
    }
}

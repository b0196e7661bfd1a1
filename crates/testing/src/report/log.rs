use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::event::{Event, EventKind, StepId};
use awaitly_core::journal::Key;

use crate::script::Problem;

/// Writes down what happens in one run.
pub(crate) struct Log {
    run: Arc<str>,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    happened: Happened,
    problems: Vec<Problem>,
}

/// What has happened in one run.
#[derive(Default)]
pub(crate) struct Happened {
    pub(crate) events: Vec<Event>,
    /// Which attempts began, and how many events there were by then.
    pub(crate) attempts: Vec<(usize, Key)>,
    /// The keys under which sagas keep book of being undone: a saga is known by that.
    sagas: Vec<Key>,
}

impl Log {
    /// The log of the run that is to be known by that id.
    pub(crate) fn new(run: Arc<str>) -> Self {
        Self { run, pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heard(&self, event: &Event) {
        let mut event = event.clone();
        // That of a volatile run is another one each time.
        event.run = Arc::clone(&self.run);
        let happened = &mut self.pages().happened;
        if let EventKind::SagaStarted { saga } = &event.kind {
            happened.sagas.push(saga.clone());
        }
        happened.events.push(event);
    }

    /// The guards have let an attempt pass.
    pub(crate) fn attempt_begins(&self, step: &StepId) {
        let happened = &mut self.pages().happened;
        let at = happened.events.len();
        happened.attempts.push((at, step.key.clone()));
    }

    pub(crate) fn does_not_fit(&self, problem: Problem) {
        self.pages().problems.push(problem);
    }

    pub(crate) fn has_problem_at(&self, step: &Key) -> bool {
        let is_there = |problem: &Problem| matches!(problem, Problem::NotAsked { step: at } if at == step);
        self.pages().problems.iter().any(is_there)
    }

    pub(crate) fn keeps_book(&self, key: &str) -> bool {
        self.pages().happened.keeps_book(key)
    }

    /// All of it, and what did not fit.
    pub(crate) fn take(&self) -> (Happened, Vec<Problem>) {
        let pages = std::mem::take(&mut *self.pages());
        (pages.happened, pages.problems)
    }
}

impl Happened {
    /// Whether a saga records under that key that it is being undone, or was.
    pub(crate) fn keeps_book(&self, key: &str) -> bool {
        self.sagas.iter().any(|saga| {
            key.strip_prefix(&**saga).is_some_and(|rest| rest.is_empty() || rest.starts_with(": done"))
        })
    }
}

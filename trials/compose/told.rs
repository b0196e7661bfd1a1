//! The events of an execution, and a check of their order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly::event::{Event, Observer};
use awaitly::journal::Key;

use crate::decisions::{self, Says};
use crate::promise::{Broken, Promise};

/// A run that could not be opened has an end event only.
const NOT_BEGUN: (u32, u32) = (0, 1);

/// The observer of one execution. Clones share its state.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The number of beginnings of each step without an end.
    steps: BTreeMap<(Arc<str>, Key), i32>,
    /// Beginnings and ends of runs.
    runs: BTreeMap<Arc<str>, (u32, u32)>,
    /// Whether a worker may execute a run several times.
    is_of_worker: bool,
    /// The runs with a waiting step.
    waits: BTreeSet<Arc<str>>,
    nonsense: Option<String>,
}

impl State {
    fn run_ended(&mut self, event: &Event) {
        let (begun, ended) = self.runs.entry(Arc::clone(&event.run)).or_default();
        // A run that could not be opened has an end only. A worker tries again.
        if !(self.is_of_worker && begun == ended) {
            *ended += 1;
        }
    }

    fn step_ended(&mut self, event: &Event) {
        if let Some(step) = event.kind.step()
            && let Some(open) = self.steps.get_mut(&(Arc::clone(&event.run), step.key.clone()))
        {
            *open -= 1;
        }
    }
}

impl Observer for Told {
    fn on_event(&self, event: &Event) {
        let mut state = self.state();
        match decisions::says(&event.kind) {
            Says::Nothing => {}
            Says::RunBegan => state.runs.entry(Arc::clone(&event.run)).or_default().0 += 1,
            Says::RunEnded => state.run_ended(event),
            Says::RunWaits => {
                state.run_ended(event);
                if !state.waits.contains(&event.run) {
                    state.nonsense.get_or_insert("a run waits, and none of its steps says so".to_owned());
                }
            }
            Says::Waits => {
                state.waits.insert(Arc::clone(&event.run));
                state.step_ended(event);
            }
            Says::Began => {
                if let Some(step) = event.kind.step() {
                    *state.steps.entry((Arc::clone(&event.run), step.key.clone())).or_default() += 1;
                }
            }
            Says::Ended(error) => {
                state.step_ended(event);
                // The error of a step may be that of a child, which was cancelled.
                let is_no_failure = |error: &&str| decisions::is_no_failure(error) && !state.is_of_worker;
                if let Some(error) = error.filter(is_no_failure)
                    && let Some(step) = event.kind.step()
                {
                    let text = format!("step `{}` is told to have failed: {error}", step.key);
                    state.nonsense.get_or_insert(text);
                }
            }
        }
    }
}

impl Told {
    /// An observer of a worker, which executes a run several times.
    pub(crate) fn of_worker() -> Self {
        Self(Arc::new(Mutex::new(State { is_of_worker: true, ..State::default() })))
    }

    /// Checks the events of an execution. `died`: its future was dropped; `drops_tell`: a drop emits an end event.
    pub(crate) fn judge(&self, died: bool, drops_tell: bool) -> Result<(), Broken> {
        let state = self.state();
        let broken = |text| Err(Broken { promise: Promise::Events, text });
        if let Some(text) = &state.nonsense {
            return broken(text.clone());
        }
        if !died && let Some(((_, key), _)) = state.steps.iter().find(|(_, open)| **open > 0) {
            return broken(format!("step `{key}` begins and has no end"));
        }
        if died && !drops_tell {
            return Ok(());
        }
        match state.runs.values().find(|(begun, ended)| begun != ended && (*begun, *ended) != NOT_BEGUN) {
            Some((begun, ended)) => {
                broken(format!("a run tells {begun} times that it begins, and {ended} that it ends"))
            }
            None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

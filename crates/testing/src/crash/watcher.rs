//! Observes one run of a process, as the stage and the observer of its workflows.

use std::future::pending;
use std::sync::Arc;

use awaitly_core::RunError;
use awaitly_core::event::{Event, EventKind, Observer, StepId};
use awaitly_core::extend::stage::{Cue, Scene, Stage};
use awaitly_core::store::RunId;
use tokio_util::sync::CancellationToken;

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::life::{Fate, Life};
use super::notes::{Notes, Origin};
use super::scope::Scope;
use crate::matchers::name_of;
use crate::script::pass;
use crate::seed;

#[derive(Debug, Clone)]
pub(super) struct Watcher {
    pub(super) life: Life,
    pub(super) notes: Arc<Notes>,
    /// The number of the run, or 0 if there is only one.
    pub(super) number: usize,
    /// The names in the store.
    pub(super) scope: Scope,
    /// The seed for delaying attempts and calls of the store, so that the runs interleave differently.
    pub(super) dice: Option<u64>,
}

impl Watcher {
    /// Returns the name of a run in the notes.
    pub(super) fn named(&self, run: &Arc<str>) -> Arc<str> {
        match self.number {
            0 => Arc::clone(run),
            number => format!("{number}/{run}").into(),
        }
    }

    /// Returns the run id of a run in the notes, if it is a run of this process.
    pub(super) fn unnamed(&self, noted: &str) -> Option<RunId> {
        let run = match self.number {
            0 => noted,
            number => noted.strip_prefix(&format!("{number}/"))?,
        };
        RunId::new(run).ok()
    }

    /// Lets other tasks overtake this call of the store, which has this number.
    pub(super) async fn shuffle(&self, call: u32) {
        if let Some(seed) = self.dice {
            pass(seed::dice(seed, &format!("{}/store", self.number), call).u32(0..4)).await;
        }
    }

    /// Draws the number of times that an attempt yields to other runs.
    fn turns(&self, step: &StepId, attempt: u32) -> u32 {
        let draw = |seed| seed::dice(seed, &format!("{}/{}", self.number, step.key), attempt).u32(0..4);
        self.dice.map_or(0, draw)
    }

    /// Updates the notes after an event of the run.
    fn hear(&self, run: &Arc<str>, kind: &EventKind) {
        let notes = &self.notes;
        match kind {
            EventKind::RunStarted { .. } => notes.body_begins(run),
            EventKind::RunSucceeded { .. }
            | EventKind::RunFailed { .. }
            | EventKind::RunWaiting { .. }
            | EventKind::RunCancelled { .. }
            | EventKind::RunInterrupted { .. }
            | EventKind::RunAborted { .. } => notes.run_ends(run),
            EventKind::StepMissed { step } => notes.asked(run, &step.key, &step.name, false),
            EventKind::StepReused { step } => notes.asked(run, &step.key, &step.name, true),
            EventKind::ScopeStarted { scope, .. } => notes.scope_begins(run, scope),
            EventKind::ScopeEnded { .. } => notes.scope_ends(run),
            EventKind::StepStarted { step } => notes.step_begins(run, &step.key),
            EventKind::StepSucceeded { step, .. }
            | EventKind::StepFailed { step, .. }
            | EventKind::StepAborted { step, .. } => notes.step_ends(run, &step.key),
            _ => {}
        }
    }
}

fn at(step: &StepId, act: Act) -> Boundary {
    Boundary::new(Side::Before, act, Some(step.key.clone()))
}

impl Stage for Watcher {
    fn begins(&self, run: &str, token: &CancellationToken) {
        match self.notes.origin(&self.named(&run.into())) {
            // Its parent cancels it.
            Origin::Child => {}
            Origin::Start => self.life.begins(token, false),
            Origin::Process => self.life.begins(token, true),
        }
    }

    fn looks_up(&self, run: &str, step: &StepId) {
        if self.life.pass(false, || at(step, Act::Lookup)) == Fate::Dies {
            return;
        }
        if let Some(failed) = self.notes.continued_after(&self.named(&run.into())) {
            self.notes.find(Finding::ContinuedAfterFailure { step: failed, to: Some(step.key.clone()) });
        }
    }

    fn attempt(&self, step: &StepId, attempt: u32) -> Option<Scene> {
        if self.life.pass(false, || at(step, Act::Attempt(attempt))) == Fate::Dies {
            return Some(Box::pin(pending()));
        }
        match self.turns(step, attempt) {
            0 => None,
            turns => Some(Box::pin(async move {
                pass(turns).await;
                Cue::Operation
            })),
        }
    }

    fn body_returned(
        &self,
        run: &str,
        a_value: bool,
        stopped: Option<&RunError>,
        knows: &dyn Fn(&str) -> bool,
    ) {
        if self.life.is_dead() {
            return;
        }
        let run = self.named(&run.into());
        if a_value
            && stopped.is_some()
            && let Some(step) = self.notes.continued_after(&run)
        {
            self.notes.find(Finding::ContinuedAfterFailure { step, to: None });
        }
        self.notes.body_returned(&run, a_value, knows);
    }
}

impl Observer for Watcher {
    fn on_event(&self, event: &Event) {
        if self.life.is_dead() {
            return;
        }
        self.hear(&self.named(&event.run), &event.kind);
        self.life.pass(false, || {
            let step = event.kind.step().map(|step| step.key.clone());
            Boundary::new(Side::At, Act::Event(name_of(&event.kind).into()), step)
        });
    }
}

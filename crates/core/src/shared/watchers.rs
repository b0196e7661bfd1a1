use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::event::{EventKind, Observers, StepId};
use crate::hook::{AfterStep, Hooked, StepInfo};
use crate::journal::Kind;

/// The observers of a run and its hook after steps, with the names that identify the run.
pub(crate) struct Watchers {
    workflow: Arc<str>,
    run: Arc<str>,
    observers: Observers,
    after_step: Option<AfterStep>,
    /// Whether the observers have seen the beginning of the run, and its end.
    phase: AtomicU8,
}

const NOT_BEGUN: u8 = 0;
const BEGUN: u8 = 1;
const ENDED: u8 = 2;

impl Watchers {
    pub(super) const fn new(
        workflow: Arc<str>,
        run: Arc<str>,
        observers: Observers,
        after_step: Option<AfterStep>,
    ) -> Self {
        Self { workflow, run, observers, after_step, phase: AtomicU8::new(NOT_BEGUN) }
    }

    #[inline]
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        !self.observers.is_empty()
    }

    /// Sends an event to the observers. `at` is the time since the beginning.
    pub(super) fn tell(&self, at: Duration, kind: EventKind) {
        self.observers.tell(&self.workflow, &self.run, at, kind);
    }

    /// Notes that the observers see the beginning of the run.
    pub(super) fn begin(&self) {
        self.phase.store(BEGUN, Ordering::Relaxed);
    }

    /// Notes that the observers see the end of the run. Returns whether they had seen only its beginning.
    pub(super) fn end(&self) -> bool {
        self.phase.swap(ENDED, Ordering::Relaxed) == BEGUN
    }

    /// Calls the hook after a recorded step, if there is one.
    pub(crate) fn hook_after_step(&self, step: impl FnOnce() -> StepId, kind: Kind) -> Option<Hooked> {
        let hook = self.after_step.as_ref()?;
        let (workflow, run) = (Arc::clone(&self.workflow), Arc::clone(&self.run));
        Some(hook(StepInfo { workflow, run, step: step(), kind }))
    }
}

use std::time::Duration;

use crate::event::{EventKind, ScopeKind};
use crate::journal::Key;
use crate::run::{Mode, Run};
use crate::shared::Shared;

/// Emits an event at the beginning of a scope, and another one when it is dropped.
pub(super) struct Scope<'r> {
    run: &'r Shared,
    name: Key,
    kind: ScopeKind,
    began: Duration,
    pub(super) winner: Option<usize>,
}

impl<'r> Scope<'r> {
    /// Begins a scope of `run`, if an observer watches the run.
    pub(super) fn begin<M: Mode>(run: &'r Run<M>, name: &Key, kind: ScopeKind) -> Option<Self> {
        let run = run.shared().filter(|run| run.watchers.is_observed())?;
        run.tell(|| EventKind::ScopeStarted { scope: name.clone(), kind });
        Some(Self { run, name: name.clone(), kind, began: run.time.elapsed(), winner: None })
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        let duration = self.run.time.elapsed().saturating_sub(self.began);
        let (scope, kind, winner) = (self.name.clone(), self.kind, self.winner);
        self.run.tell(|| EventKind::ScopeEnded { scope, kind, duration, winner });
    }
}

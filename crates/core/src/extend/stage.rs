//! Playing the part of operations in a test, as `awaitly-testing` does.

use std::sync::Arc;

use crate::journal::Key;
use crate::run::DurableRun;
use crate::shared::current;
pub use crate::stage::{Cue, Misfit, Prop, Reply, Returned, SCRIPT, Scene, Stage};
use crate::workflow::Workflow;

/// Returns the workflow, whose runs are played on `stage`. At least one observer must watch them.
#[must_use]
pub fn on_stage<X>(workflow: Workflow<X>, stage: Arc<dyn Stage>) -> Workflow<X> {
    workflow.on_stage(stage)
}

/// Returns the workflow with its name, version, input and migrations, but cut off from everything outside: without store,
/// observers, hooks, and token.
#[must_use]
pub fn alone<X>(workflow: Workflow<X>) -> Workflow<X> {
    workflow.alone()
}

/// Returns whether the code of the run knows this key: it built a step with the key, or looked at its outcome.
#[must_use]
pub fn knows(run: &DurableRun, key: &str) -> bool {
    run.shared().is_some_and(|shared| shared.keys.knows(key))
}

/// Returns the key and the attempt of the recorded step whose operation this thread polls, if it does.
#[must_use]
pub fn current_step() -> Option<(Key, u32)> {
    current()
}

//! Scripted operations in a test, for `awaitly-testing`.

use std::sync::Arc;

use crate::journal::Key;
use crate::run::DurableRun;
use crate::shared::current;
pub use crate::stage::{Cue, Misfit, Prop, Reply, SCRIPT, Scene, Stage};
use crate::workflow::Workflow;

/// Returns the workflow with its runs played on `stage`. The workflow needs at least one observer.
#[must_use]
pub fn on_stage<X>(workflow: Workflow<X>, stage: Arc<dyn Stage>) -> Workflow<X> {
    workflow.on_stage(stage)
}

/// Returns the workflow without its store, observers, hooks, cancellation token and stage. All other settings stay, for
/// example the name, the version, the input and the migrations.
#[must_use]
pub fn alone<X>(workflow: Workflow<X>) -> Workflow<X> {
    workflow.alone()
}

/// Returns whether the code of the run knows this key: it built a step with the key, or read its outcome.
#[must_use]
pub fn knows(run: &DurableRun, key: &str) -> bool {
    run.shared().is_some_and(|shared| shared.keys.knows(key))
}

/// Returns the key and the attempt of the recorded step whose operation this thread polls, if there is one.
#[must_use]
pub fn current_step() -> Option<(Key, u32)> {
    current()
}

//! What a crate needs that plays the part of operations, as `awaitly-testing` does. Not for use by hand, and free to
//! change.

use std::sync::Arc;

use crate::journal::Key;
use crate::run::DurableRun;
use crate::shared::current;
pub use crate::stage::{Cue, Misfit, Prop, Reply, Returned, SCRIPT, Scene, Stage};
use crate::workflow::Workflow;

/// The workflow, whose runs are played on `stage`. Some observer must watch them.
#[must_use]
pub fn on_stage<X>(workflow: Workflow<X>, stage: Arc<dyn Stage>) -> Workflow<X> {
    workflow.on_stage(stage)
}

/// The workflow with its name, version, input and migrations, and nothing that reaches outside: no store, observers or
/// hooks, and no token that cancels it.
#[must_use]
pub fn alone<X>(workflow: Workflow<X>) -> Workflow<X> {
    workflow.alone()
}

/// Whether the code of the run knows this key: a step was built with it, or it was looked at.
#[must_use]
pub fn knows(run: &DurableRun, key: &str) -> bool {
    run.shared().is_some_and(|shared| shared.keys.knows(key))
}

/// The recorded step whose operation is polled on this thread, if one is, and which attempt at it.
#[must_use]
pub fn current_step() -> Option<(Key, u32)> {
    current()
}

use std::sync::Arc;

use crate::event::{RecordedKind, StepId};
use crate::run::Hooked;

/// What a hook before the run is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The run id.
    pub run: Arc<str>,
    /// How many outcomes are recorded already.
    pub recorded: usize,
}

/// What a hook after a step is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepInfo {
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The run id.
    pub run: Arc<str>,
    /// The step.
    pub step: StepId,
    /// What kind of outcome was recorded.
    pub kind: RecordedKind,
}

/// A hook before the run.
pub(super) type BeforeRun = Arc<dyn Fn(RunInfo) -> Hooked + Send + Sync>;

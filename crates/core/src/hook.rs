//! Hooks: the code of the caller that a workflow calls before a run and after each of its steps.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::{RecordedKind, StepId};
use crate::guard::Refusal;

/// The run, as a hook before it sees it.
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

/// The step, as a hook after it sees it.
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

/// A hook that runs.
pub(crate) type Hooked = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;
/// A hook before the run.
pub(crate) type BeforeRun = Arc<dyn Fn(RunInfo) -> Hooked + Send + Sync>;
/// A hook after each step.
pub(crate) type AfterStep = Arc<dyn Fn(StepInfo) -> Hooked + Send + Sync>;

//! Hooks: functions of the caller that a workflow calls before a run and after each of its steps.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::StepId;
use crate::guard::Refusal;
use crate::journal::Kind;

/// The run, as a [`before_run`](crate::Workflow::before_run) hook sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The run id.
    pub run: Arc<str>,
    /// The number of outcomes that are recorded already.
    pub recorded: usize,
}

/// The step, as an [`after_step`](crate::Workflow::after_step) hook sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepInfo {
    /// The name of the workflow.
    pub workflow: Arc<str>,
    /// The run id.
    pub run: Arc<str>,
    /// The step.
    pub step: StepId,
    /// The kind of the recorded outcome.
    pub kind: Kind,
}

/// The future of a hook.
pub(crate) type Hooked = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;
/// A hook before a run.
pub(crate) type BeforeRun = Arc<dyn Fn(RunInfo) -> Hooked + Send + Sync>;
/// A hook after each step.
pub(crate) type AfterStep = Arc<dyn Fn(StepInfo) -> Hooked + Send + Sync>;

//! Hooks: functions of the caller that a workflow calls before a run and after each of its steps.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::StepId;
use crate::guard::Refusal;
use crate::journal::Kind;

/// The run, as a [`before_run`](crate::Workflow::before_run) hook sees it.
///
/// ```
/// use awaitly_core::guard::Refusal;
/// use awaitly_core::{RunError, RunInfo, Workflow};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// // Before an update: end the runs that have begun, and begin no others.
/// let draining = Workflow::new("checkout").before_run(async |info: RunInfo| match info.recorded {
///     0 => Err(Refusal::new("update", "new orders have to wait")),
///     _ => Ok(()),
/// });
/// let refused = draining.run("order-42", async |_| Ok::<u32, RunError>(7)).await;
/// assert!(matches!(refused, Err(RunError::Refused { .. })));
/// # }
/// ```
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
///
/// ```
/// use awaitly_core::journal::Kind;
/// use awaitly_core::{StepInfo, Workflow};
///
/// let audited = Workflow::new("checkout").after_step(async |info: StepInfo| {
///     if info.kind == Kind::Value && info.step.name == "charge".into() {
///         println!("{}: money has moved", info.run);
///     }
///     Ok(())
/// });
/// # let _ = audited;
/// ```
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

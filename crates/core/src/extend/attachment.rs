//! Shares a value of another crate with the runs of a workflow.

use std::any::Any;
use std::sync::Arc;

use crate::run::DurableRun;
use crate::workflow::Workflow;

/// Attaches a value to `workflow`. A further call replaces it.
#[must_use]
pub fn attach<X>(workflow: Workflow<X>, value: Arc<dyn Any + Send + Sync>) -> Workflow<X> {
    workflow.attach(value)
}

/// Returns the value that is attached to the workflow of `run`, if it is a `T`.
///
/// ```
/// use std::sync::Arc;
///
/// use awaitly_core::extend::attachment::{attach, attached};
/// use awaitly_core::{RunError, Workflow};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let checkout = attach(Workflow::new("checkout"), Arc::new(42_u32));
/// let found = checkout.run("order-42", async |run| Ok::<_, RunError>(attached::<u32>(run).map(|value| *value)));
/// assert_eq!(found.await, Ok(Some(42)));
/// # }
/// ```
#[must_use]
pub fn attached<T: Send + Sync + 'static>(run: &DurableRun) -> Option<Arc<T>> {
    Arc::clone(run.shared()?.attachment()?).downcast().ok()
}

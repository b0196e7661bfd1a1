//! Runs: [`run`], and the handle [`Run`].

mod handle;
mod too_late;

use tracing::Instrument;

pub use handle::{DurableRun, Mode, Run};

pub use crate::step::keep::{Borrowing, Durable, Volatile};

/// Runs `body` in memory, with a handle for its steps.
///
/// The run has no journal, no observers and no limits; a [`Workflow`](crate::Workflow) adds them. Retries and timeouts
/// are options of the steps.
///
/// # Errors
/// Returns the error of the body.
///
/// # Panics
/// Panics if the body panics.
///
/// # Cancel safety
/// Dropping the future drops the step in flight; no further step starts.
///
/// # Examples
/// ```
/// use awaitly_core::{run, step, RunError};
///
/// #[derive(Debug, thiserror::Error)]
/// enum ReadError {
///     #[error("not a number: {0}")]
///     Number(#[from] std::num::ParseIntError),
///     #[error(transparent)]
///     Run(#[from] RunError),
/// }
///
/// async fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let sum = run(async |run| {
///     let left = step!(run, parse("40"));
///     let right = step!(run, "right", parse("2"));
///     Ok::<_, ReadError>(left + right)
/// })
/// .await;
/// assert_eq!(sum.unwrap(), 42);
/// # });
/// ```
pub async fn run<T, E>(body: impl AsyncFnOnce(&Run) -> Result<T, E>) -> Result<T, E> {
    body(&Run::plain()).instrument(tracing::info_span!("run")).await
}

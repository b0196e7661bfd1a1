//! Checks before a deploy that interrupted and waiting runs resume with the new code.
//!
//! An interrupted or waiting run continues with the code that is deployed at that time. Its recorded steps are found
//! by key and decoded to the types that the new code requests. A renamed step therefore runs again, and a changed
//! type stops the run. [`would_resume`] detects both before the deploy: it executes the *new* code against journals
//! of real runs, kept as [fixtures](Journal), and calls no operation of any step.
//!
//! ```
//! use awaitly_core::journal::Migration;
//! use awaitly_core::{DurableRun, RunError, Workflow, step};
//! use awaitly_testing::{replay::Journal, would_resume};
//!
//! # async fn reserve() -> Result<u32, RunError> { unreachable!() }
//! async fn place_order(run: &DurableRun) -> Result<u32, RunError> {
//!     Ok(step!(run, "reserve_stock", reserve())) // Its name was `reserve` before.
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), awaitly_testing::replay::FixtureError> {
//! // Usually `Journal::read("tests/journals/order-42.json")?`.
//! let journal: Journal = r#"{
//!     "format": 1, "run": "order-42", "workflow": "checkout", "version": 1,
//!     "records": [{"key": "reserve", "outcome": {"value": 7}}]
//! }"#
//! .parse()?;
//!
//! let checkout = Workflow::new("checkout");
//! let replay = would_resume(&journal, &checkout, place_order).await;
//! assert!(replay.to_string().contains(r#"Migration::rename("reserve", "reserve_stock")"#));
//!
//! let checkout = checkout.version(2).migration(1, Migration::rename("reserve", "reserve_stock"));
//! would_resume(&journal, &checkout, place_order).await.assert_resumes();
//! # Ok(())
//! # }
//! ```
//!
//! # Execution
//!
//! The check executes the body on a separate store, with the workflow's name, version, input and migrations. The
//! workflow's own store, observers and hooks are not used. Recorded steps are found and decoded as in a real run. A
//! step without a record stops the body, because its value is unknown, unless [`ResumeCheck::value`] provides one.
//! Time stands still. Code outside of steps is executed normally, with its side effects.

mod aside;
mod check;
mod error;
mod finding;
mod form;
mod journal;
mod judge;
mod report;
mod rest;
mod still;
mod witness;

use std::fmt;

use awaitly_core::{DurableRun, FromStep, KeepRun, RunError, Workflow};

pub use check::ResumeCheck;
pub use error::FixtureError;
pub use finding::Finding;
pub use journal::{Journal, fixtures};
pub use report::Replay;

/// Checks whether the run of `journal` would resume with this workflow and `body`. The report lists the recorded
/// steps that would be reused, the steps that would run, and the records that would be lost. The check calls no
/// operation and always ends.
///
/// # Panics
/// Panics in the situation described for [`ResumeCheck::run`].
///
/// # Cancel safety
/// Dropping the future ends the check.
pub async fn would_resume<X, T, E>(
    journal: &Journal,
    workflow: &Workflow<X>,
    body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
) -> Replay
where
    X: KeepRun<T, E>,
    E: FromStep<RunError> + fmt::Display,
{
    ResumeCheck::new(journal).run(workflow, body).await
}

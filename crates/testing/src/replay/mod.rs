//! Whether runs that are under way would resume with this code: what to check before a deploy.
//!
//! A run that was interrupted, or that waits, goes on with the code that is deployed then. Its recorded steps are found by
//! their keys, and decoded to the types that the new code asks for. So a step that was renamed runs again, and a type that
//! was changed stops the run. [`would_resume`] finds that before the deploy: it executes the *new* code against journals of
//! real runs that were kept as [fixtures](Journal), and calls no operation of any step.
//!
//! ```
//! use awaitly_core::journal::Migration;
//! use awaitly_core::{DurableRun, RunError, Workflow, step};
//! use awaitly_testing::{replay::Journal, would_resume};
//!
//! # async fn reserve() -> Result<u32, RunError> { unreachable!() }
//! async fn place_order(run: &DurableRun) -> Result<u32, RunError> {
//!     Ok(step!(run, "reserve_stock", reserve())) // It was called `reserve` before.
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), awaitly_testing::replay::FixtureError> {
//! // As a rule `Journal::read("tests/journals/order-42.json")?`.
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
//! # What is executed
//!
//! The body, on a store of the check's own, with the workflow's name, version, input and migrations. Its store, observers
//! and hooks hear nothing. Recorded steps are found and decoded as ever. What a step gives that is not recorded, nobody
//! knows: there the body stops, unless [`ResumeCheck::value`] says it. Time stands still. What the body does outside of
//! its steps, it does here too.

mod aside;
mod check;
mod error;
mod form;
mod journal;
mod judge;
mod report;
mod rest;
mod still;
mod text;
mod witness;

use std::fmt;

use awaitly_core::{DurableRun, FromStep, KeepRun, RunError, Workflow};

pub use check::ResumeCheck;
pub use error::FixtureError;
pub use journal::{Journal, fixtures};
pub use report::{End, Here, Misfit, Replay, Sleeping, Unasked, Undecodable, What, Why, WouldRun};

/// Whether the run that `journal` is of would resume with this workflow and `body`: which recorded steps would be reused,
/// which steps would run, and what of the journal would be lost. It calls no operation, and always comes to an end.
///
/// # Panics
/// As [`ResumeCheck::run`].
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

//! Tests that own time, outcomes and crashes.
//!
//! ```
//! use awaitly_core::{DurableRun, RunError, step};
//! use awaitly_testing::{Harness, err, ok};
//!
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
//! # struct Hold { id: u64 }
//! # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
//! # enum Declined { NoFunds }
//! # impl std::fmt::Display for Declined {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("declined") }
//! # }
//! # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
//! # enum OrderError { Declined, Run(RunError) }
//! # impl From<Declined> for OrderError { fn from(_: Declined) -> Self { Self::Declined } }
//! # impl From<RunError> for OrderError { fn from(error: RunError) -> Self { Self::Run(error) } }
//! # impl std::fmt::Display for OrderError {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("no order") }
//! # }
//! # async fn reserve() -> Result<Hold, RunError> { unreachable!() }
//! # async fn charge(_: &Hold) -> Result<u64, Declined> { unreachable!() }
//! async fn order(run: &DurableRun) -> Result<u64, OrderError> {
//!     let hold = step!(run, reserve());
//!     Ok(step!(run, "charge", charge(&hold)))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let report = Harness::new()
//!     .script("reserve", ok(Hold { id: 7 }))
//!     .script("charge", err(Declined::NoFunds))
//!     .run(order)
//!     .await;
//!
//! assert_eq!(report.result, Err(OrderError::Declined));
//! report.assert_steps(["reserve", "charge"]);
//! # });
//! ```
//!
//! # Where things are
//!
//! | | |
//! | --- | --- |
//! | [`Harness`], [`ok`], [`err`], [`script`] | a run whose steps end as the test says |
//! | [`Report`] | what happened in it: steps, assertions, a trace as text, JSON, comparison |
//! | [`simulate`], [`Simulation`], [`PausedClock`] | time that jumps, and a seed for what is left to chance |
//! | [`crash_everywhere`], [`crash_randomly`] | every way to die, and the same outcome after each |
//! | [`fault`] | stores that fail, and services that fail, slow down and come back |
//! | [`mock`], [`assert_ok!`], [`assert_err!`], [`assert_event!`] | calls that are recorded, and matchers |
//! | [`would_resume`] | whether runs that are under way would resume with this code |
//!
//! # Time
//!
//! All of it runs on tokio's paused time, as `#[tokio::test(start_paused = true)]` or [`simulate`] gives it: when
//! everything waits, the clock moves to the next moment for which something waits, in no time. So the code under test
//! may use tokio's timers, and both tell the same time. A test in which nothing can happen any more would jump on for
//! ever: it fails after [four hundred days](Simulation::longest).
//!
//! # Seeds
//!
//! What is left to chance is drawn from a seed: jitter, the turns of branches, faults by chance, random crashes. It is 0,
//! or what the environment variable `AWAITLY_SEED` says as a decimal number, or what the code says with `.seed(..)`, which
//! goes before both; only [`Simulation::seeds`] is narrowed down to that of the environment. A test that fails prints
//! its seed.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod clock;
pub mod crash;
pub mod fault;
mod harness;
mod keys;
mod matchers;
pub mod mock;
pub mod replay;
pub mod report;
pub mod script;
mod seed;
mod simulate;
mod watched;

pub use clock::PausedClock;
pub use crash::{CrashTest, crash_everywhere, crash_randomly};
pub use harness::Harness;
#[doc(hidden)]
pub use matchers::private as __private;
pub use replay::would_resume;
pub use report::Report;
pub use script::{
    Leftovers, Script, ScriptError, Unscripted, answer, by_attempt, cancelled, err, err_once, expired, hang,
    ok, ok_once, panic, real, refused, rejected, stop, timeout,
};
pub use simulate::{Sim, Simulation, simulate};

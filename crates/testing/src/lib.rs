//! Test tools for workflows: scripted outcomes, virtual time, injected faults and crashes at every step boundary.
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
//! # Overview
//!
//! | items | purpose |
//! | --- | --- |
//! | [`Harness`], [`ok`], [`err`], [`script`] | execute a workflow with scripted step outcomes |
//! | [`Report`] | inspect a run: steps, assertions, a text trace, JSON, comparison |
//! | [`simulate`], [`Simulation`], [`PausedClock`] | run a test in virtual time, with one seed for all randomness |
//! | [`crash_everywhere`], [`crash_randomly`] | kill the process at every boundary and compare the outcomes |
//! | [`fault`] | stores that fail; services that fail, slow down and recover |
//! | [`mock`], [`assert_ok!`], [`assert_err!`], [`assert_event!`] | record calls, and match results and events |
//! | [`would_resume`] | check that recorded runs still resume with changed code |
//!
//! # Time
//!
//! The tools run on tokio's paused time, which `#[tokio::test(start_paused = true)]` or [`simulate`] provides. If
//! every task waits, the clock jumps to the next timer, so a sleep of a month costs no real time. The code under test
//! may use tokio's timers; they read the same clock. A deadlocked test would let the clock jump forever, so the tools
//! fail it after [400 days](Simulation::time_limit) of virtual time.
//!
//! # Seeds
//!
//! One seed determines all randomness: retry jitter, the interleaving of branches, random faults and random crashes.
//! The default is 0. The environment variable `AWAITLY_SEED` (a decimal number) overrides the default, and
//! `.seed(..)` in code overrides both. [`Simulation::seeds`] is the exception: if the variable is set, only that seed
//! runs. A failing test prints its seed. The stores and networks of [`fault`] do not read the variable: pass
//! [`Sim::seed`] to them.
#![cfg_attr(docsrs, feature(doc_cfg))]
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
    Script, answer, by_attempt, cancelled, err, err_once, expired, hang, ok, ok_once, panic, real, refused,
    rejected, stop, timeout,
};
pub use simulate::{Sim, Simulation, simulate};

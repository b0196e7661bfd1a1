//! Typed steps for fallible async calls: retries, timeouts and a trace; name a store, and the same code
//! survives `kill -9`.
//!
//! ```
//! use awaitly::clock::{ms, secs};
//! use awaitly::{Retry, RunError, run, step};
//!
//! #[derive(Debug, thiserror::Error)]
//! enum QuoteError {
//!     #[error("no such symbol")]
//!     Unknown(#[from] UnknownSymbol),
//!     #[error(transparent)]
//!     Run(#[from] RunError), // timeouts, refusals, cancellation
//! }
//! # #[derive(Debug, thiserror::Error)]
//! # #[error("unknown")]
//! # struct UnknownSymbol;
//! # async fn price(symbol: &str) -> Result<u64, UnknownSymbol> { Ok(symbol.len() as u64) }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let quote = run(async |run| {
//!     let tea = step!(run, price("TEA"));
//!     let mug = step!(run, "mug", retry = Retry::exponential(ms(50)), timeout = secs(2), price("MUG"));
//!     Ok::<_, QuoteError>(tea + mug)
//! })
//! .await;
//! assert_eq!(quote.unwrap(), 6);
//! # });
//! ```
//!
//! A failing step returns from the function around it, as `?` would, with that function's own error type. Give
//! the run a name and a store, by way of a [`Workflow`], and the outcome of every step is recorded before your
//! code sees it; the same call after a crash goes on from there.
//!
//! # Where things are
//!
//! | | |
//! | --- | --- |
//! | [`run`](fn@run), [`Run`], [`DurableRun`] | a run, and the handle from which its steps are built |
//! | [`step!`], [`parallel!`], [`race!`], [`Run::each`] | steps, one and several at once |
//! | [`Retry`], [`retry`] | what follows a failed attempt |
//! | [`guard`] | what an attempt passes through |
//! | [`Workflow`] | durable runs: name, version, store, observers, hooks |
//! | [`Error`], [`RunError`], [`FromStep`] | what can go wrong, and how it becomes yours |
//! | [`event`] | watching |
//! | [`journal`], [`store`] | what is recorded, and the trait that stores implement |
#![cfg_attr(feature = "persistence", doc = "| [`persistence`] | the stores |")]
#![cfg_attr(
    feature = "resilience",
    doc = "| [`resilience`] | circuit breaker, limiters, throttle, cache, policies |"
)]
#![cfg_attr(feature = "hitl", doc = "| [`hitl`] | runs that ask people, and wait for them |")]
#![cfg_attr(feature = "saga", doc = "| [`saga`] | steps that are undone when a later one fails |")]
#![cfg_attr(feature = "testing", doc = "| [`testing`] | tests that own time, outcomes and crashes |")]
//! | [`collect`], [`resource`], [`clock`] | many results into one, resources given back, time |
//!
//! # Features
//!
//! | feature | turns on | default |
//! | --- | --- | --- |
//! | `persistence` | `persistence::MemoryStore`, and the conformance suite for stores | no |
//! | `sqlite` | `persistence::SqliteStore`, with SQLite bundled; also `persistence` | no |
//! | `file` | `persistence::FileStore`; also `persistence` | no |
//! | `postgres` | `persistence::PostgresStore`; also `persistence` | no |
//! | `redis` | `persistence::RedisStore`; also `persistence` | no |
//! | `resilience` | `resilience`: circuit breaker, limiters, adaptive throttle, cache, hedge, policies | no |
//! | `saga` | `saga`: steps that are undone when a later one fails | no |
//! | `hitl` | `hitl`: runs that ask people: approvals, callbacks, an inbox | no |
//! | `http` | `hitl::http`: the inbox over HTTP, requests that become runs; also `hitl` | no |
//! | `webhook` | `hitl::WebhookNotifier`: notices as signed HTTP requests; also `hitl` | no |
//! | `testing` | `testing`: scripts, virtual time, crash-everywhere; for `dev-dependencies`; also `persistence` | no |
//! | `tower` | `resilience::tower`: the guards as layers; also `resilience` | no |
//! | `full` | everything | no |

pub use awaitly_core::{
    AsRunError, AsText, Borrowing, Durable, DurableRun, Error, FromStep, KeepRun, Limit, Mode, Resuming,
    Retry, Run, RunError, RunInfo, StepInfo, Typed, Volatile, WaitFor, Workflow, run,
};
pub use awaitly_core::{clock, collect, event, guard, journal, resource, retry, several, step, store};
pub use awaitly_core::{parallel, race};

#[cfg(feature = "hitl")]
pub use awaitly_hitl as hitl;
#[cfg(feature = "persistence")]
pub use awaitly_persistence as persistence;
#[cfg(feature = "resilience")]
pub use awaitly_resilience as resilience;
#[cfg(feature = "saga")]
pub use awaitly_saga as saga;
#[cfg(feature = "testing")]
pub use awaitly_testing as testing;

/// Long texts, so that their code is compiled.
#[cfg(all(doctest, feature = "full"))]
mod _documentation {
    #[doc = include_str!("../docs/approvals.md")]
    mod approvals {}
    #[doc = include_str!("../docs/coming-from-awaitly.md")]
    mod coming_from_awaitly {}
    #[doc = include_str!("../docs/operating.md")]
    mod operating {}
    #[doc = include_str!("../docs/recipes.md")]
    mod recipes {}
    #[doc = include_str!("../docs/resilience.md")]
    mod resilience {}
    #[doc = include_str!("../docs/saga.md")]
    mod saga {}
    #[doc = include_str!("../docs/stores.md")]
    mod stores {}
    #[doc = include_str!("../docs/testing.md")]
    mod testing {}
}

//! Wrap each fallible async call in a step: get typed errors, retries, timeouts and a trace. Name a store, and the same code
//! survives `kill -9`.
//!
//! ```
//! use awaitly::clock::{ms, secs};
//! use awaitly::persistence::SqliteStore;
//! use awaitly::{DurableRun, Retry, RunError, Workflow, step};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
//! enum OrderError {
//!     #[error(transparent)]
//!     Stock(#[from] SoldOut),
//!     #[error(transparent)]
//!     Run(#[from] RunError), // timeouts, refusals, cancellations
//! }
//! # #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
//! # #[error("sold out")]
//! # struct SoldOut;
//! # async fn reserve(sku: &str) -> Result<u64, SoldOut> { Ok(sku.len() as u64) }
//! # async fn charge(hold: u64, _key: String) -> Result<u64, RunError> { Ok(hold * 100) }
//!
//! async fn order(run: &DurableRun, sku: &str) -> Result<u64, OrderError> {
//!     let hold = step!(run, reserve(sku));
//!     let key = run.idempotency_key("charge");
//!     let retry = Retry::exponential(ms(50)).attempts(3);
//!     Ok(step!(run, "charge", retry = retry, timeout = secs(2), charge(hold, key.clone())))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("orders.db");
//! let orders = Workflow::new("order").store(SqliteStore::open(&file).await?);
//! let paid = orders.run("order-42", async |run| order(run, "tea").await).await?;
//!
//! // After a crash, another process makes the same call. It executes no recorded step again.
//! let again = orders.run("order-42", async |run| order(run, "tea").await).await?;
//! assert_eq!((paid, again), (300, 300));
//! # Ok(())
//! # }
//! ```
//!
//! `step!` returns from the surrounding function if the step fails, as `?` does, with the function's own error type. Without a
//! store, [`run`](fn@run)`(async |run| ..)` executes the same steps in memory.
//!
//! # Modules and types
//!
//! | item | purpose |
//! | --- | --- |
//! | [`run`](fn@run), [`Run`], [`DurableRun`] | a run, and the handle that builds its steps |
//! | [`step!`], [`parallel!`], [`race!`], [`Run::each`] | one step, and several at once |
//! | [`Retry`], [`retry`] | further attempts after a failure |
//! | [`guard`] | admission of attempts: breakers, limiters and your own guards |
//! | [`Workflow`] | the settings of durable runs: name, version, store, observers, hooks |
//! | [`Error`], [`RunError`], [`FromStep`] | failures, and their conversion into your error type |
//! | [`event`] | events and their observers |
//! | [`journal`], [`store`] | recorded outcomes, and the trait that stores implement |
#![cfg_attr(feature = "persistence", doc = "| [`persistence`] | stores: memory, SQLite, PostgreSQL, Redis |")]
#![cfg_attr(
    feature = "resilience",
    doc = "| [`resilience`] | circuit breaker, limiters, throttle, cache, policies |"
)]
#![cfg_attr(feature = "engine", doc = "| [`engine`] | workers, clients and queues, which carry runs |")]
#![cfg_attr(feature = "hitl", doc = "| [`hitl`] | approvals and other answers from outside |")]
#![cfg_attr(feature = "saga", doc = "| [`saga`] | compensation of completed steps if a later step fails |")]
#![cfg_attr(feature = "testing", doc = "| [`testing`] | tests that control time, outcomes and crashes |")]
//! | [`collect`], [`resource`], [`clock`] | combining results, releasing resources, time |
//!
//! # Features
//!
//! | feature | turns on | default |
//! | --- | --- | --- |
//! | `persistence` | `persistence::MemoryStore`, and the conformance suite for stores | no |
//! | `sqlite` | `persistence::SqliteStore`, with SQLite bundled; also `persistence` | no |
//! | `postgres` | `persistence::PostgresStore`; also `persistence` | no |
//! | `redis` | `persistence::RedisStore`; also `persistence` | no |
//! | `resilience` | `resilience`: circuit breaker, limiters, adaptive throttle, cache, hedge, policies | no |
//! | `saga` | `saga`: compensation of completed steps | no |
//! | `engine` | `engine`: workers, clients, queues | no |
//! | `hitl` | `hitl`: approvals, callbacks, an inbox | no |
//! | `http` | `hitl::http`: the inbox over HTTP, requests that start runs; also `hitl` | no |
//! | `webhook` | `hitl::WebhookNotifier`: notices as signed HTTP requests; also `hitl` | no |
//! | `testing` | `testing`: scripts, virtual time, crash-everywhere; for `dev-dependencies`; also `persistence` | no |
//! | `tower` | `resilience::tower`: the guards as layers; also `resilience` | no |
//! | `full` | everything | no |
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use awaitly_core::{
    AsRunError, Borrowing, Durable, DurableRun, Error, FromStep, KeepRun, Limit, Mode, Resuming, Retry, Run,
    RunError, RunInfo, StepInfo, Volatile, WaitFor, Workflow, run,
};
pub use awaitly_core::{
    clock, collect, dispatch, event, guard, journal, resource, retry, several, step, store,
};
pub use awaitly_core::{parallel, race};

#[cfg(feature = "engine")]
pub use awaitly_engine as engine;
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

/// The pages in `docs/`, so that the compiler checks their code.
#[cfg(all(doctest, feature = "full"))]
mod _documentation {
    #[doc = include_str!("../docs/approvals.md")]
    mod approvals {}
    #[doc = include_str!("../docs/coming-from-awaitly.md")]
    mod coming_from_awaitly {}
    #[doc = include_str!("../docs/engine.md")]
    mod engine {}
    #[doc = include_str!("../docs/operating.md")]
    mod operating {}
    #[doc = include_str!("../docs/recipes.md")]
    mod recipes {}
    #[doc = include_str!("../docs/resilience.md")]
    mod resilience {}
    #[doc = include_str!("../docs/saga.md")]
    mod saga {}
    #[doc = include_str!("../docs/scheduling.md")]
    mod scheduling {}
    #[doc = include_str!("../docs/stores.md")]
    mod stores {}
    #[doc = include_str!("../docs/testing.md")]
    mod testing {}
}

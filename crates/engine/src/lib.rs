//! The engine: clients start runs, and workers execute them and resume them after a crash.
//!
//! A client puts a run into a queue of the store. A worker claims due runs, executes them, and resumes the runs of dead
//! processes. Clients and workers are ordinary values in your programs: there is no server beside the store.
//!
//! ```
//! use awaitly_core::{DurableRun, RunError, step};
//! use awaitly_engine::{Client, Contract, Worker};
//! use awaitly_persistence::MemoryStore;
//!
//! /// Shared by clients and workers: the name of the workflow, its input, its value and its error.
//! const CHECKOUT: Contract<u64, u64, RunError> = Contract::new("checkout");
//!
//! async fn charge(cents: u64) -> Result<u64, RunError> { Ok(cents) }
//!
//! async fn place_order(run: DurableRun, cents: u64) -> Result<u64, RunError> {
//!     Ok(step!(run, "charge", charge(cents)))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//!
//! // In a request handler: the run is in the store when the call returns.
//! let client = Client::new(store.clone());
//! let order = client.start(CHECKOUT, "order-42", &4200).await?;
//!
//! // In a worker process:
//! let worker = Worker::new(store).serve(CHECKOUT, place_order);
//! let stop = async { assert_eq!(order.result().await, Ok(4200)) };
//! worker.run_until(stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | item | purpose |
//! | --- | --- |
//! | [`Contract`] | the name and the types of a workflow, shared by clients and workers |
//! | [`Client`] | starts runs, and finds existing ones |
//! | [`RunHandle`] | waits for the result of a run, shows its state, cancels, pauses and retries it |
//! | [`Worker`] | executes due runs, within the limits of their [`Queue`]s |
//! | [`Schedule`] | starts runs at the times of a rule |
//! | [`RunExt`] | starts children inside a run, receives messages, publishes values and streams |
//!
//! # Guarantees
//! - If [`Client::start`] has returned, workers execute the run until it ends, as long as one of them serves its
//!   workflow. If the process of the worker dies, another worker resumes the run from its recorded steps.
//! - [`Client::start`] starts a run id once. A repeated call returns the existing run.
//! - One worker at a time holds the lease of a run. If a worker has lost the lease but still executes the run, the
//!   store refuses its writes.
//! - If the processes that execute a run die several times in a row without a new record, the run fails with
//!   [`RunError::CrashedRepeatedly`](awaitly_core::RunError::CrashedRepeatedly). So one poisonous input cannot stop the
//!   workers.
//! - The limits of a queue hold across all workers of the store.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod client;
mod contract;
mod run;
mod schedule;
mod worker;

pub use awaitly_core::dispatch::{Queue, Rate};
pub use client::{
    Ailment, Bulk, Client, Diagnosis, Finding, Follow, Phase, Progress, RunHandle, RunState, SendError,
    Sending, StartError, StartMany, Starting,
};
pub use contract::Contract;
pub use run::{Child, Receive, RunExt, RunStream};
pub use schedule::{
    Overlap, Schedule, ScheduleError, ScheduleHandle, ScheduleInfo, Scheduling, scheduled_for,
};
pub use worker::{Ticked, Worker};

//! Stores and services that fail, on command or randomly by a seed.
//!
//! ```
//! use awaitly_core::{DurableRun, RunError, Workflow, step};
//! use awaitly_core::clock::secs;
//! use awaitly_persistence::MemoryStore;
//! use awaitly_testing::fault::{Call, Fault, FaultyStore, Network, Service, Unreachable};
//!
//! /// A fake bank behind a network line that the test controls.
//! struct FakeBank { line: Service }
//!
//! # #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, thiserror::Error)]
//! # enum OrderError {
//! #     #[error(transparent)] Bank(#[from] Unreachable),
//! #     #[error(transparent)] Run(#[from] RunError),
//! # }
//! impl FakeBank {
//!     async fn charge(&self, cents: u64) -> Result<u64, Unreachable> {
//!         self.line.call(|| async move { Ok(cents) }).await
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let network = Network::new(7);
//! let bank = FakeBank { line: network.service("bank") };
//! let store = FaultyStore::new(MemoryStore::new());
//! let workflow = Workflow::new("order").store(store.clone());
//! let order = async |run: &DurableRun| Ok::<_, OrderError>(step!(run, "charge", bank.charge(4200)));
//!
//! bank.line.down_for(secs(30));
//! assert!(matches!(workflow.run("order-41", order).await, Err(OrderError::Bank(_))));
//!
//! // The bank is back. The store carries out one append but reports an error.
//! tokio::time::sleep(secs(30)).await;
//! store.once(Call::Append.key("charge"), Fault::LoseAnswer);
//! assert!(matches!(workflow.run("order-42", order).await, Err(OrderError::Run(RunError::Store(_)))));
//! assert_eq!(workflow.run("order-42", order).await, Ok(4200));
//! store.assert_used(); // fails if, for example, the key is misspelt
//! assert_eq!(bank.line.calls(), 2); // one for each order
//! # });
//! ```
//!
//! | failure | cause it with |
//! | --- | --- |
//! | some calls of a store, optionally of one run or key | [`FaultyStore::once`], [`nth`](FaultyStore::nth), [`times`](FaultyStore::times) with [`Call`] and [`Calls`] |
//! | all calls until [`heal`](FaultyStore::heal), or a random part of them | [`FaultyStore::always`], [`chance`](FaultyStore::chance) |
//! | a service, for a while or until the test restores it | [`Service`] of a [`Network`] |
//! | a process, at every boundary | [`crash_everywhere`](crate::crash_everywhere), without this module |
//!
//! A run does not retry a failed store call. If a write is not acknowledged, the run ends with
//! [`RunError::Store`](awaitly_core::RunError::Store), and the next execution resumes it from its journal. Delays use
//! tokio's time, so they cost no real time if it is paused. Random faults are drawn from the seed of the store, 0 by
//! default, or of the network. Pass [`Sim::seed`](crate::Sim::seed) to both, so that `AWAITLY_SEED` repeats the test.

mod network;
mod plan;
mod store;

pub use awaitly_core::store::around::{Call, Calls};
pub use network::{Condition, Network, Service, Unreachable};
pub use plan::{Fault, Injected};
pub use store::FaultyStore;

/// Checks a probability.
///
/// # Panics
/// Panics if `chance` is not between 0 and 1.
#[track_caller]
fn assert_chance(chance: f64) {
    assert!((0.0..=1.0).contains(&chance), "a chance must be between 0 (never) and 1 (always), not {chance}");
}

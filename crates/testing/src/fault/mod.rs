//! Stores that fail, and services that fail, slow down and come back: as they are told, or by chance from a seed.
//!
//! ```
//! use awaitly_core::{DurableRun, RunError, Workflow, step};
//! use awaitly_core::clock::secs;
//! use awaitly_persistence::MemoryStore;
//! use awaitly_testing::fault::{Call, Fault, FaultyStore, Network, Service, Unreachable};
//!
//! /// A bank to test with: what it does, behind a line that is as good as the test says.
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
//! // The bank is back, but the store answers one append with an error, though it has carried it out.
//! tokio::time::sleep(secs(30)).await;
//! store.once(Call::Append.key("charge"), Fault::LoseAnswer);
//! assert!(matches!(workflow.run("order-42", order).await, Err(OrderError::Run(RunError::Store(_)))));
//! assert_eq!(workflow.run("order-42", order).await, Ok(4200));
//! store.assert_used(); // had the key been misspelt, nothing would have failed
//! assert_eq!(bank.line.calls(), 2); // one for each order
//! # });
//! ```
//!
//! | what is to fail | by what |
//! | --- | --- |
//! | one call of a store, of one run, of one key | [`FaultyStore::once`], [`nth`](FaultyStore::nth), [`times`](FaultyStore::times) with [`Call`] and [`Calls`] |
//! | all calls until [`heal`](FaultyStore::heal), or some by chance | [`FaultyStore::always`], [`chance`](FaultyStore::chance) |
//! | a service, for some time or until it is said to be up | [`Service`] of a [`Network`] |
//! | a process, at each place where it can | [`crash_everywhere`](crate::crash_everywhere), which needs none of this |
//!
//! A call of a store that fails is not retried by the run: a write that was not acknowledged ends it in
//! [`RunError::Store`](awaitly_core::RunError::Store), and it is resumed from what is recorded when it is run again.
//! Delays are of tokio's time, so they cost none where that is paused. Chances are drawn from the seed of the store or the network, 0 unless set: hand
//! [`Sim::seed`](crate::Sim::seed) to it, for a test that is repeated with `AWAITLY_SEED`.

mod draw;
mod network;
mod plan;
mod store;

pub use awaitly_core::store::around::{Call, Calls};
pub use network::{Network, Service, State, Unreachable};
pub use plan::{Fault, Injected};
pub use store::FaultyStore;

//! Where the journals of [awaitly](https://docs.rs/awaitly) rest: name a store, and a run survives
//! `kill -9`.
//!
//! ```
//! use awaitly_core::journal::{Outcome, Payload, Record};
//! use awaitly_core::store::{Open, Opened, Owner, RunId, Store};
//! use awaitly_persistence::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let run = RunId::new("order-42")?;
//! let opened = store.open(Open::new(run.clone(), "checkout", Owner::unique())).await?;
//! let Opened::Held { lease, .. } = opened else { return Err("somebody else runs it".into()) };
//!
//! let outcome = Outcome::Value(Payload::encode("ch_7")?);
//! store.append(&lease, Record { key: "charge".into(), outcome, input: None }).await?;
//!
//! // The process dies here. Another one finds what was recorded.
//! store.release(&lease);
//! let opened = store.open(Open::new(run, "checkout", Owner::unique())).await?;
//! assert!(matches!(opened, Opened::Held { run, .. } if run.records.len() == 1));
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! | item | what for |
//! | --- | --- |
//! | [`MemoryStore`] | tests, and runs that need not survive the process |
//! | `SqliteStore` | one file, several processes of one machine |
//! | [`conformance`] | every promise of a store as a test, for your own |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `sqlite` | yes | `SqliteStore`, `SqliteOptions`, `Durability`; SQLite is built in |

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod conformance;
mod limits;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteOptions, SqliteStore};

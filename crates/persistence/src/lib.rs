//! Stores for the journals of [awaitly](https://docs.rs/awaitly): a run with a store survives `kill -9`.
//!
//! ```
//! use awaitly_core::journal::{Outcome, Payload, Record};
//! use awaitly_core::store::{Durability, Open, Opened, Owner, RunId, Store};
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
//! store.append(&lease, Record { key: "charge".into(), outcome, input: None }, Durability::Sync).await?;
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
//! | item | purpose |
//! | --- | --- |
//! | [`MemoryStore`] | tests, and runs that need not survive the process |
//! | `SqliteStore` | one file, shared by several processes on one machine |
//! | `PostgresStore` | many machines |
//! | `RedisStore` | many machines; as durable as the server's settings |
//! | [`operate`] | operations for operators: retry, fork, retain, export, copy |
//! | [`conformance`] | tests of every promise of a store, for your own store |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `postgres` | no | `PostgresStore`, `PostgresOptions` |
//! | `redis` | no | `RedisStore`, `RedisOptions` |
//! | `sqlite` | yes | `SqliteStore`, `SqliteOptions`; SQLite is compiled in |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

#[cfg(any(feature = "postgres", feature = "redis"))]
mod calls;
pub mod conformance;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod group;
mod limits;
mod memory;
pub mod operate;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod unclaimed;

pub use memory::{MemoryStore, MemoryTransaction};
pub use operate::copy;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore, PostgresTransaction};
#[cfg(feature = "redis")]
pub use redis::{RedisOptions, RedisStore};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore};

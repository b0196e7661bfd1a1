//! memory
mod limits;
mod memory;
pub mod conformance;
#[cfg(feature = "sqlite")]
mod sqlite;
pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteOptions, SqliteStore};

//! awaitly
pub use awaitly_core::*;

#[cfg(feature = "persistence")]
pub use awaitly_persistence as persistence;

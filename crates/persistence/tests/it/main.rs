#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod alternating;
mod around;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod clock;
#[cfg(all(feature = "file", feature = "sqlite"))]
mod corpus;
#[cfg(feature = "file")]
mod file;
mod memory;
mod operate;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod proxy;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;

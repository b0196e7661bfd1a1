//! Tests across crates: workflows on real stores, and the examples.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod durable;
mod examples;
mod faulty;
mod fuse;
mod leases;
mod meeting;
mod retry;
mod sagas;
mod servers;
mod transactions;
mod waiting;

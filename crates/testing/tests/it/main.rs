//! Tests of this crate from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod crash;
mod faults;
mod matchers;
mod mocks;
mod network;
mod replay;
mod reports;
mod scripts;
mod shop;
mod time;

//! Tests of runs that ask people, from the question to the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod approvals;
#[cfg(feature = "http")]
mod http;
mod inbox;
mod notices;
mod quorum;
mod resume;
mod world;

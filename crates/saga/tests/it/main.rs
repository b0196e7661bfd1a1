//! What sagas do, feature by feature, against the public interface. That they survive crashes is tested on real stores
//! in the tests of the crate `awaitly`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod compensations;
mod doubt;
mod errors;
mod misuse;
mod nested;
mod resumed;
mod several;
mod steps;
mod watching;
mod world;

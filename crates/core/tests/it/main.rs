//! What the core does, feature by feature, against its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod attempts;
mod cost;
mod guards;
mod journal;
mod misuse;
mod resources;
mod several;
mod steps;
mod watching;
mod world;

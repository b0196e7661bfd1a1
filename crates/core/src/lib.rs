//! core
pub mod journal;
pub mod store;
mod error;
pub use error::{Error, FromStep, Limit, RunError};

//! core
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod clock;
pub mod collect;
mod error;
pub mod event;
pub mod guard;
pub mod journal;
mod macros;
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod resource;
pub mod retry;
mod run;
pub mod several;
pub mod step;
pub mod store;
mod wait;
pub mod workflow;

pub use error::{Error, FromStep, Limit, RunError};
pub use retry::Retry;
pub use run::{Durable, DurableRun, Mode, Run, Volatile, run};
pub use workflow::Workflow;

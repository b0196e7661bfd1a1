//! Workflows: the definition and settings of runs.

mod again;
mod builder;
mod end;
mod execute;
mod heartbeat;
mod keep;
mod open;
mod trace;

pub use builder::{Resuming, Workflow};
pub use keep::KeepRun;

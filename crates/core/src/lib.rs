//! The core of awaitly: steps, runs, the rules of the journal, and the traits that stores and guards implement. Use it
//! through the crate `awaitly`, which re-exports every item of this crate under its name.
//!
//! | module | holds |
//! | --- | --- |
//! | (root) | [`run`](fn@run), [`Run`], [`Workflow`], [`Error`], [`RunError`], and the macros |
//! | [`step`](mod@step) | one step, from its name to its outcome |
//! | [`retry`], [`guard`] | the delays after failed attempts, and the checks before each attempt |
//! | [`several`], [`collect`] | several concurrent steps, and many results collected into one |
//! | [`journal`] | the recorded outcomes and all rules about them, as pure functions |
//! | [`dispatch`] | the rules by which stores dispatch queued runs to workers, as pure functions |
//! | [`store`] | the traits that stores implement |
//! | [`event`] | the events of a run, and the observers that receive them |
//! | [`clock`], [`resource`] | time, and resources that are released in reverse order |
//! | [`extend`] | the interface for crates that extend the library |
//!
//! The crate has no features. It needs a tokio runtime only if a timeout, a delay or a sleep has to wait, and then only
//! the runtime's timer.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod as_run_error;
pub mod clock;
pub mod collect;
pub mod dispatch;
mod error;
pub mod event;
pub mod extend;
pub mod guard;
mod hook;
pub mod journal;
mod macros;
pub mod resource;
pub mod retry;
mod run;
pub mod several;
mod shared;
mod stage;
pub mod step;
pub mod store;
mod wait;
mod workflow;

pub use as_run_error::AsRunError;
pub use error::{Error, FromStep, Limit, RunError};
pub use hook::{RunInfo, StepInfo};
#[doc(hidden)]
pub use macros::door as __macros;
pub use retry::Retry;
pub use run::{Borrowing, Durable, DurableRun, Mode, Run, Volatile, run};
pub use wait::WaitFor;
pub use workflow::{KeepRun, Resuming, Workflow};

//! Extension points for crates that extend the library: access to the private state of a run.
//!
//! Programs do not need this module, and the crate `awaitly` does not export it. It serves crates that add another kind
//! of step, or observe a run from inside:
//!
//! | module | for a crate that | used by |
//! | --- | --- | --- |
//! | [`handle`] | has its own handle, which the macros accept instead of a [`Run`] | `awaitly-saga` |
//! | [`undo`] | undoes steps | `awaitly-saga` |
//! | [`outside`] | asks people or other runs, and waits for their answers | `awaitly-engine`, `awaitly-hitl` |
//! | [`stage`] | replaces operations in a test | `awaitly-testing` |
//! | [`attachment`] | shares a value with the runs of a workflow | `awaitly-engine` |
//! | [`claimed`] | executes runs that it has claimed from a store | `awaitly-engine` |
//!
//! # Stability
//! Any minor version may change this module: depend on one exact version of `awaitly-core`. The rules of the journal
//! still apply. The library cannot check the arguments of these functions, so a crate that passes wrong ones can break
//! the guarantees of its runs.
//!
//! # Examples
//! A step that runs even if the run was cancelled:
//!
//! ```
//! use awaitly_core::extend::undo;
//! use awaitly_core::{DurableRun, RunError, Workflow, step};
//! use tokio_util::sync::CancellationToken;
//!
//! async fn give_back(run: &DurableRun, room: u32) -> Result<u32, RunError> {
//!     let step = run.step("give back", async || Ok::<_, RunError>(room));
//!     Ok(step!(undo::shielded(step)))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let token = CancellationToken::new();
//! let hotel = Workflow::new("hotel").cancel_on(token.clone());
//! let given_back = hotel
//!     .run("room 7", async |run| {
//!         token.cancel();
//!         give_back(run, 7).await
//!     })
//!     .await;
//! assert_eq!(given_back, Ok(7));
//! # });
//! ```

pub mod attachment;
pub mod claimed;
pub mod handle;
pub mod outside;
pub mod stage;
pub mod undo;

pub use crate::error::Takes;
use crate::journal::Key;
use crate::run::{Mode, Run};

/// Takes the next free key of `name` for a list of steps, and returns it. The key of each step in the list begins with
/// the returned key.
#[must_use]
pub fn base<M: Mode>(run: &Run<M>, name: &Key) -> Key {
    run.take_base(name)
}

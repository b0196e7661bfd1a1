//! What operators do with the runs of a store, beyond what every store does by itself.
//!
//! ```
//! use std::time::Duration;
//! use awaitly_core::journal::Status;
//! use awaitly_core::store::{Operate, RunId, RunQuery};
//! use awaitly_persistence::operate::{Fork, OperateExt, Retention};
//! use awaitly_persistence::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = MemoryStore::new();
//! // What failed, the newest first.
//! for run in store.list(RunQuery::new().workflow("checkout").status(Status::Failed)).await?.items {
//!     println!("{} failed: {}", run.run, run.error.unwrap_or_default());
//!     // Lets a worker resume it, from the step that it failed on.
//!     store.retry(&run.run).await?;
//! }
//!
//! // What completed a month ago is not needed any more.
//! let month = Duration::from_secs(30 * 24 * 3600);
//! let deleted = store.retain(Retention::ended_for(month).status(Status::Completed)).await?;
//! # assert_eq!(deleted, 0);
//! # Ok(())
//! # }
//! ```
//!
//! | what | how |
//! | --- | --- |
//! | list runs, page by page | [`Operate::list`] |
//! | one run whole | [`Store::load`](awaitly_core::store::Store::load), or as JSON [`export`](OperateExt::export) |
//! | cancel | [`Operate::cancel`] |
//! | resume from the failed step | [`retry`](OperateExt::retry) |
//! | a new run from the steps of an old one | [`fork`](OperateExt::fork) |
//! | delete | [`Operate::delete`], by age [`retain`](OperateExt::retain) |
//! | into another store | [`copy`] |

mod copy;
mod export;
mod fork;
mod held;
mod retain;
mod retry;

pub use copy::{Copied, copy};
pub use export::{Exported, ImportError};
pub use fork::{Fork, ForkError};
pub use retain::Retention;
pub use retry::RetryError;

use awaitly_core::store::{Operate, RunId, StoreError};

/// What operators do with the runs of any store.
pub trait OperateExt: Operate {
    /// Sets a run that failed or was cancelled back to running, without the records that it failed on: it is
    /// [due](Operate::due) then, and whoever resumes it goes on from the failed step. To resume it here, call
    /// `Workflow::retry` instead.
    ///
    /// # Errors
    /// [`RetryError`] says why not; nothing was changed then.
    fn retry(&self, run: &RunId) -> impl Future<Output = Result<(), RetryError>> + Send {
        retry::retry(self, run)
    }

    /// Makes a new run that begins with recorded steps of another one, which stays as it is. It is
    /// [due](Operate::due) at once.
    ///
    /// # Errors
    /// [`ForkError`] says why not; nothing was changed then.
    fn fork(&self, run: &RunId, fork: Fork) -> impl Future<Output = Result<(), ForkError>> + Send {
        fork::fork(self, run, fork)
    }

    /// Deletes the runs that are not to be kept any more, in batches, and says how many.
    ///
    /// A run that is retried in between stays. A batch is one commit.
    ///
    /// # Errors
    /// Returns the error of the store; the batches before stay deleted.
    ///
    /// # Cancel safety
    /// Dropping the future stops between two batches, or in the middle of one, which is deleted whole or not at
    /// all.
    fn retain(&self, retention: Retention) -> impl Future<Output = Result<usize, StoreError>> + Send {
        retain::retain(self, retention)
    }

    /// A whole run as a value that reads well as JSON. `None`: no such run.
    ///
    /// It holds everything: recorded values, and the tokens of what waits. Protect it like the data in it.
    ///
    /// # Errors
    /// What the store meets.
    fn export(&self, run: &RunId) -> impl Future<Output = Result<Option<Exported>, StoreError>> + Send {
        export::export(self, run)
    }

    /// Adds a run that was exported, under its own run id.
    ///
    /// # Errors
    /// [`ImportError`] says why not; nothing was changed then.
    fn import_exported(&self, exported: Exported) -> impl Future<Output = Result<(), ImportError>> + Send {
        export::import(self, exported)
    }
}

impl<S: Operate> OperateExt for S {}

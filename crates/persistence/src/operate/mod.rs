//! Operations for operators that work with every store.
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
//! | task | call |
//! | --- | --- |
//! | list runs, page by page | [`Operate::list`] |
//! | read a complete run | [`Store::load`](awaitly_core::store::Store::load), or as JSON [`export`](OperateExt::export) |
//! | cancel | [`Operate::cancel`] |
//! | resume from the failed step | [`retry`](OperateExt::retry) |
//! | start a new run from the steps of an old one | [`fork`](OperateExt::fork) |
//! | delete | [`Operate::delete`], by age [`retain`](OperateExt::retain) |
//! | copy into another store | [`copy`] |

mod copy;
mod error;
mod export;
mod fork;
mod held;
mod retain;
mod retry;

pub use copy::{Copied, copy};
pub use error::OperateError;
pub use export::Exported;
pub use fork::Fork;
pub use retain::Retention;

use awaitly_core::store::{Operate, RunId, StoreError};

/// Operations for operators, available for every store.
pub trait OperateExt: Operate {
    /// Sets a failed or cancelled run back to running, and removes the records on which it failed. The run is then
    /// [due](Operate::due), and the worker that resumes it continues at the failed step. To resume the run in this
    /// process, call `Workflow::retry` instead.
    ///
    /// # Errors
    /// Returns [`OperateError`] with the reason.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::{DueQuery, Operate, RunId};
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_persistence::operate::OperateExt;
    /// # use awaitly_core::{DurableRun, Error, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let declined = async |_: &DurableRun| Err::<(), _>(Error::Failed("declined".to_owned()));
    /// # Workflow::new("checkout").store(store.clone()).run("order-42", declined).await.unwrap_err();
    /// let order = RunId::new("order-42")?;
    /// store.retry(&order).await?;
    /// assert_eq!(store.due(DueQuery::new()).await?[0].run, order);
    /// # Ok(())
    /// # }
    /// ```
    fn retry(&self, run: &RunId) -> impl Future<Output = Result<(), OperateError>> + Send {
        retry::retry(self, run)
    }

    /// Creates a run that begins with the recorded steps of the old run `run`. The old run stays unchanged, and the new
    /// run is [due](Operate::due) at once.
    ///
    /// # Errors
    /// Returns [`OperateError`] with the reason.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::{RunId, Store};
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_persistence::operate::{Fork, OperateExt};
    /// # use awaitly_core::{DurableRun, RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let quote = async |run: &DurableRun| Ok::<u32, RunError>(step!(run, "quote", async { Ok::<u32, RunError>(4000) }));
    /// # Workflow::new("checkout").store(store.clone()).run("order-42", quote).await?;
    /// let (order, cheaper) = (RunId::new("order-42")?, RunId::new("order-42-cheaper")?);
    /// store.fork(&order, Fork::new(cheaper.clone()).edit("quote", &3500)?).await?;
    /// let forked = store.load(&cheaper).await?.ok_or("no such run")?;
    /// assert_eq!(forked.records[0].outcome.payload().as_str(), "3500");
    /// # Ok(())
    /// # }
    /// ```
    fn fork(&self, run: &RunId, fork: Fork) -> impl Future<Output = Result<(), OperateError>> + Send {
        fork::fork(self, run, fork)
    }

    /// Deletes the runs that have exceeded their retention, in batches, and returns the number of deleted runs.
    ///
    /// A run that is retried meanwhile stays. Each batch is one commit.
    ///
    /// # Errors
    /// Returns the error of the store. Earlier batches stay deleted.
    ///
    /// # Cancel safety
    /// If the future is dropped, no further batch begins. The store deletes the current batch completely or keeps all
    /// of its runs.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use awaitly_core::journal::Status;
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_persistence::operate::{OperateExt, Retention};
    /// # use awaitly_core::{DurableRun, Error, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let declined = async |_: &DurableRun| Err::<(), _>(Error::Failed("declined".to_owned()));
    /// # Workflow::new("checkout").store(store.clone()).run("order-42", declined).await.unwrap_err();
    /// // Failed runs are kept for longer than completed ones.
    /// let completed = Retention::ended_for(Duration::from_secs(24 * 3600)).status(Status::Completed);
    /// assert_eq!(store.retain(completed).await?, 0);
    /// let failed = Retention::ended_for(Duration::ZERO).status(Status::Failed);
    /// assert_eq!(store.retain(failed).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    fn retain(&self, retention: Retention) -> impl Future<Output = Result<usize, StoreError>> + Send {
        retain::retain(self, retention)
    }

    /// Returns a complete run as a value with a readable JSON form, or `None` if the run does not exist.
    ///
    /// The value holds everything, including recorded values and the tokens of waiting entries. Protect it like the
    /// data that it contains.
    ///
    /// # Errors
    /// Returns the error of the store.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::RunId;
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_persistence::operate::OperateExt;
    /// # use awaitly_core::{DurableRun, RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let quote = async |run: &DurableRun| Ok::<u32, RunError>(step!(run, "quote", async { Ok::<u32, RunError>(4000) }));
    /// # Workflow::new("checkout").store(store.clone()).run("order-42", quote).await?;
    /// let exported = store.export(&RunId::new("order-42")?).await?.ok_or("no such run")?;
    /// let json = serde_json::to_string(&exported)?;
    /// assert!(json.contains(r#""records":[{"key":"quote","outcome":{"value":4000}}]"#));
    /// # Ok(())
    /// # }
    /// ```
    fn export(&self, run: &RunId) -> impl Future<Output = Result<Option<Exported>, StoreError>> + Send {
        export::export(self, run)
    }

    /// Adds an exported run under its own run id. If a run with that id exists, it stays unchanged, and the result is
    /// [`false`].
    ///
    /// # Errors
    /// Returns [`StoreError::NewerFormat`] if a newer version of this library exported the run, and otherwise the error
    /// of the store. After [`StoreError::Unavailable`], the run may have been added.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::{RunId};
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_persistence::operate::{Exported, OperateExt};
    /// # use awaitly_core::{DurableRun, RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let quote = async |run: &DurableRun| Ok::<u32, RunError>(step!(run, "quote", async { Ok::<u32, RunError>(4000) }));
    /// # Workflow::new("checkout").store(store.clone()).run("order-42", quote).await?;
    /// # let json = serde_json::to_string(&store.export(&RunId::new("order-42")?).await?)?;
    /// let exported: Exported = serde_json::from_str(&json)?;
    /// let elsewhere = MemoryStore::new();
    /// assert!(elsewhere.import_exported(exported.clone()).await?);
    /// assert!(!elsewhere.import_exported(exported).await?);
    /// # Ok(())
    /// # }
    /// ```
    fn import_exported(&self, exported: Exported) -> impl Future<Output = Result<bool, StoreError>> + Send {
        export::import(self, exported)
    }
}

impl<S: Operate> OperateExt for S {}

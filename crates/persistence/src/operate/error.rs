use std::time::Duration;

use awaitly_core::journal::{Key, Status};
use awaitly_core::store::StoreError;

/// The reason why a run was not retried or forked. The store is unchanged, with one exception: after
/// [`Store`](Self::Store) with [`StoreError::Unavailable`], the run may or may not have been retried or forked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperateError {
    /// The run does not exist.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// The run has not failed and was not cancelled, so it cannot be retried.
    #[error("the run is {status}: only one that failed or was cancelled can be retried")]
    NotFailed {
        /// The current status of the run.
        status: Status,
    },
    /// The run cannot be retried now, because another owner executes it.
    #[error("the run is being executed: try again in {remaining:?}")]
    Busy {
        /// The remaining time of the lease, unless its owner renews it.
        remaining: Duration,
    },
    /// No outcome is recorded under the key of an [`up_to`](super::Fork::up_to) or [`edit`](super::Fork::edit), or
    /// `up_to` leaves out the edited step.
    #[error(
        "no outcome is recorded under the key `{key}`, as far as the fork goes: export the run to see its keys"
    )]
    NoSuchKey {
        /// The key.
        key: Key,
    },
    /// A run with the run id of the fork already exists.
    #[error("there is a run with the new run id already: choose another one")]
    Exists,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

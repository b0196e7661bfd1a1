use std::time::Duration;

use awaitly_core::journal::{Refused, Status};
use awaitly_core::store::{Open, Opened, Operate, Owner, Purpose, RunId, StoreError};

use super::held::Held;

/// The reason for which a run was not set back to running. The store was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// The run does not exist.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// The run has not failed and was not cancelled, so it cannot be retried.
    #[error("the run is {status}: only one that failed or was cancelled can be retried")]
    NotFailed {
        /// The current status of the run.
        status: Status,
    },
    /// Another owner executes the run.
    #[error("the run is being executed: try again in {remaining:?}")]
    Busy {
        /// The remaining time of the lease, unless its owner renews it.
        remaining: Duration,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) async fn retry<S: Operate + ?Sized>(store: &S, run: &RunId) -> Result<(), RetryError> {
    let header = store.load(run).await?.ok_or(RetryError::NoSuchRun)?.header;
    if !matches!(header.status, Status::Failed | Status::Cancelled) {
        return Err(RetryError::NotFailed { status: header.status });
    }
    let request = Open::new(run.clone(), header.workflow, Owner::unique())
        .version(header.version)
        .purpose(Purpose::Retry)
        .existing();
    match store.open(request).await? {
        Opened::Held { lease, run, .. } => {
            let held = Held { store, lease };
            // Another caller may have been faster, and has the right to resume the run then.
            if matches!(run.header.status, Status::Failed | Status::Cancelled) {
                store.revive(&held.lease, run.header.failed_on).await?;
            }
            Ok(())
        }
        Opened::Ended(header) => Err(RetryError::NotFailed { status: header.status }),
        Opened::Refused(Refused::Busy { remaining }) => Err(RetryError::Busy { remaining }),
        // The run was deleted in between.
        Opened::Refused(Refused::NoSuchRun) => Err(RetryError::NoSuchRun),
        // A newer version of the workflow has opened the run in between and executes it.
        Opened::Refused(_) => Err(RetryError::Busy { remaining: Duration::ZERO }),
    }
}

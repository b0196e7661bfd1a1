use std::time::Duration;

use awaitly_core::journal::{Refused, Status};
use awaitly_core::store::{Open, Opened, Operate, Owner, Purpose, RunId, StoreError};

use super::held::Held;

/// Why a run was not set back to running. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// There is no such run.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// Only a run that failed or was cancelled can be retried.
    #[error("the run is {status}: only one that failed or was cancelled can be retried")]
    NotFailed {
        /// Where it stands.
        status: Status,
    },
    /// Somebody executes it.
    #[error("the run is being executed: try again in {remaining:?}")]
    Busy {
        /// How long the lease still lasts if it is not renewed.
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
            // Somebody may have been faster, and the run is theirs to resume.
            if matches!(run.header.status, Status::Failed | Status::Cancelled) {
                store.revive(&held.lease, run.header.failed_on).await?;
            }
            Ok(())
        }
        Opened::Ended(header) => Err(RetryError::NotFailed { status: header.status }),
        Opened::Refused(Refused::Busy { remaining }) => Err(RetryError::Busy { remaining }),
        // It was deleted in between.
        Opened::Refused(Refused::NoSuchRun) => Err(RetryError::NoSuchRun),
        // A newer version has come in between: the run is being executed.
        Opened::Refused(_) => Err(RetryError::Busy { remaining: Duration::ZERO }),
    }
}

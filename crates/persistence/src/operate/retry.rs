use std::time::Duration;

use awaitly_core::journal::{Refused, Status};
use awaitly_core::store::{Open, Opened, Operate, Owner, Purpose, RunId};

use super::OperateError;
use super::held::Held;

pub(super) async fn retry<S: Operate + ?Sized>(store: &S, run: &RunId) -> Result<(), OperateError> {
    let header = store.load(run).await?.ok_or(OperateError::NoSuchRun)?.header;
    if !matches!(header.status, Status::Failed | Status::Cancelled) {
        return Err(OperateError::NotFailed { status: header.status });
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
        Opened::Ended(header) => Err(OperateError::NotFailed { status: header.status }),
        Opened::Refused(Refused::Busy { remaining }) => Err(OperateError::Busy { remaining }),
        // The run was deleted in between.
        Opened::Refused(Refused::NoSuchRun) => Err(OperateError::NoSuchRun),
        // A newer version of the workflow has opened the run in between and executes it.
        Opened::Refused(_) => Err(OperateError::Busy { remaining: Duration::ZERO }),
    }
}

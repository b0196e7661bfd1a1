use awaitly_core::journal::{Refused, Status};
use awaitly_core::store::{
    Cancelled, DeleteIf, Imported, Open, Opened, Operate, Owner, Purpose, RunId, RunQuery, RunSummary,
    StoreError, StoredRun,
};

use super::held::Held;

/// What became of copying runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many were copied.
    pub copied: usize,
    /// How many were there already, and stayed as they were.
    pub existed: usize,
    /// Those that somebody executes. They were not copied: a run lives in one store. Copy again once they are
    /// free.
    pub held: Vec<RunId>,
    /// Those of which somebody answered a question while they were copied, and that somebody has begun to execute in the
    /// other store already: the answer is not there.
    pub changed: Vec<RunId>,
}

/// Copies the runs that `query` asks for from one store to another: everything of them but their leases.
///
/// What is there already stays, so copying again goes on where it stopped. A run that may still be executed is copied
/// under its lease, so that nobody begins to execute it meanwhile. Nothing is deleted; where the runs are to move, let
/// nobody open them here any more once they are copied.
///
/// ```
/// use awaitly_core::store::RunQuery;
/// use awaitly_persistence::{MemoryStore, operate};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), awaitly_core::store::StoreError> {
/// # let (file, server) = (MemoryStore::new(), MemoryStore::new());
/// let copied = operate::copy(&file, &server, RunQuery::new()).await?;
/// assert!(copied.held.is_empty(), "stop the workers first");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What either store meets; what was copied before stays.
///
/// # Cancel safety
/// Dropping the future stops after a run that is copied whole.
pub async fn copy(from: &impl Operate, to: &impl Operate, mut query: RunQuery) -> Result<Copied, StoreError> {
    let mut done = Copied::default();
    loop {
        let page = from.list(query.clone()).await?;
        for run in page.items {
            let (lease, stored) = match rest(from, &run).await? {
                Rest::Held => {
                    done.held.push(run.run);
                    continue;
                }
                // It was deleted in between.
                Rest::Gone => continue,
                Rest::Ended(stored) => (None, stored),
                Rest::Taken(lease, stored) => (Some(lease), stored),
            };
            match to.import(run.run.clone(), stored.clone()).await? {
                Imported::Added => done.copied += 1,
                Imported::Exists => {
                    done.existed += 1;
                    continue;
                }
            }
            if let Some(lease) = lease {
                let is_changed = !follow(from, to, &run.run, stored, lease).await?;
                done.changed.extend(is_changed.then_some(run.run));
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(done),
        }
    }
}

/// Copies a run once more that was answered meanwhile, which needs no lease; and sees to what somebody asked of whoever
/// has it. Whether the copy is whole.
async fn follow<S: Operate>(
    from: &S,
    to: &impl Operate,
    run: &RunId,
    mut copied: StoredRun,
    lease: Held<'_, S>,
) -> Result<bool, StoreError> {
    while let Some(now) = from.load(run).await? {
        if (&now.records, &now.waits) == (&copied.records, &copied.waits) {
            drop(lease);
            if now.header.cancel_requested {
                let _: Cancelled = from.cancel(run).await?;
            }
            break;
        }
        if to.delete(vec![run.clone()], DeleteIf::Free).await?.is_empty() {
            return Ok(false);
        }
        let _: Imported = to.import(run.clone(), now.clone()).await?;
        copied = now;
    }
    Ok(true)
}

/// How a run is found that is to be copied.
enum Rest<'s, S: Operate> {
    /// Nobody executes it any more, ever.
    Ended(StoredRun),
    /// Nobody executes it as long as this has its lease.
    Taken(Held<'s, S>, StoredRun),
    /// Somebody executes it.
    Held,
    Gone,
}

async fn rest<'s, S: Operate>(store: &'s S, run: &RunSummary) -> Result<Rest<'s, S>, StoreError> {
    if run.status != Status::Completed {
        // One that failed may be retried, so it is taken too.
        let request = Open::new(run.run.clone(), run.workflow.clone(), Owner::unique())
            .version(run.version)
            .purpose(Purpose::Retry)
            .existing();
        match store.open(request).await? {
            Opened::Held { lease, run, .. } => return Ok(Rest::Taken(Held { store, lease }, run)),
            Opened::Refused(Refused::NoSuchRun) => return Ok(Rest::Gone),
            // Busy, or somebody has changed it since it was listed.
            Opened::Refused(_) => return Ok(Rest::Held),
            Opened::Ended(_) => {}
        }
    }
    Ok(store.load(&run.run).await?.map_or(Rest::Gone, Rest::Ended))
}

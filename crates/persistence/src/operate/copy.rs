use awaitly_core::journal::{Refused, Status, WaitEntry};
use awaitly_core::store::{
    Answer, Answered, Cancelled, Imported, Open, Opened, Operate, Owner, Purpose, RunId, RunQuery,
    RunSummary, StoreError, StoredRun,
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
    /// Those of which somebody answered a question while they were copied, and whose copy did not take that answer: its time
    /// was over, or somebody had answered there.
    pub changed: Vec<RunId>,
}

/// Copies the runs that `query` asks for from one store to another: everything of them but their leases.
///
/// What is there already stays, so copying again goes on where it stopped. A run that may still be executed is copied
/// under its lease, so that nobody begins to execute it meanwhile. Nothing is deleted; where the runs are to move, let
/// nobody open them here any more once they are copied. An answer that comes while a run is copied is handed
/// on to the copy.
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

/// Hands on to the copy what was done to the run meanwhile that needs no lease: answers, and the request to cancel it.
/// Whether the copy has all of it.
async fn follow<S: Operate>(
    from: &S,
    to: &impl Operate,
    run: &RunId,
    copied: StoredRun,
    lease: Held<'_, S>,
) -> Result<bool, StoreError> {
    let Some(now) = from.load(run).await? else { return Ok(true) };
    drop(lease);
    let mut is_whole = true;
    for WaitEntry { key, token, .. } in copied.waits {
        if let Some(record) = now.records.iter().find(|record| record.key == key) {
            let answer = Answer::new(run.clone(), key, record.outcome.clone()).token(token);
            is_whole &= to.answer(answer).await? == Answered::Taken;
        }
    }
    // Whoever executes the run next sees to what was asked before.
    if now.header.cancel_requested && !copied.header.cancel_requested {
        let _: Cancelled = to.cancel(run).await?;
    }
    Ok(is_whole)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use awaitly_core::journal::{Outcome, Payload};
    use awaitly_core::store::{Store, Wait};

    use super::*;
    use crate::MemoryStore;

    #[tokio::test]
    async fn what_is_answered_and_asked_while_a_run_is_copied_reaches_the_copy() {
        let (from, to, run) = (MemoryStore::new(), MemoryStore::new(), RunId::new("r").unwrap());
        let request = Open::new(run.clone(), "w", Owner::unique()).ttl(Duration::from_secs(60));
        let Opened::Held { lease, .. } = from.open(request).await.unwrap() else { panic!("no lease") };
        let request = Payload::from_stored("1");
        let wait = Wait { key: "ask".into(), token: "t".into(), request, expires_in: None };
        from.wait(&lease, wait).await.unwrap();
        let copied = from.load(&run).await.unwrap().unwrap();
        assert_eq!(to.import(run.clone(), copied.clone()).await.unwrap(), Imported::Added);
        let answer = Answer::new(run.clone(), "ask", Outcome::Value(Payload::from_stored("7")));
        assert_eq!(from.answer(answer).await.unwrap(), Answered::Taken);
        assert_eq!(from.cancel(&run).await.unwrap(), Cancelled::Requested);

        assert!(follow(&from, &to, &run, copied, Held { store: &from, lease }).await.unwrap());
        let (old, new) = (from.load(&run).await.unwrap().unwrap(), to.load(&run).await.unwrap().unwrap());
        assert_eq!((&new.records, &new.waits), (&old.records, &old.waits));
        assert!(old.header.cancel_requested && new.header.cancel_requested);
    }
}

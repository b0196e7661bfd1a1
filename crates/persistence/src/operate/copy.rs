use awaitly_core::journal::{Refused, Status, WaitEntry};
use awaitly_core::store::{
    Answer, Cancelled, Open, Opened, Operate, Owner, Purpose, RunId, RunQuery, RunSummary, StoreError,
    StoredRun,
};

use super::held::Held;

/// The result of copying runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// The number of runs that were copied.
    pub copied: usize,
    /// The number of runs that already existed and stayed unchanged.
    pub existed: usize,
    /// The runs that another owner was executing. They were not copied, because only one store may execute a run. Call
    /// [`copy`] again once the owners have released them.
    pub held: Vec<RunId>,
    /// The copied runs that lack an answer: a question was answered in the first store during the copy, and the second
    /// store refused the answer, because the question had expired there or had another answer.
    pub changed: Vec<RunId>,
}

/// Copies the runs that `query` selects from one store to another, with everything except their leases.
///
/// Runs that `to` already has stay unchanged, so a repeated call copies only the missing runs. A run that may still be
/// executed is copied under its lease, so that no worker executes it meanwhile. If one of its questions is answered
/// meanwhile, the answer is also given to the copied run.
///
/// The runs stay in `from`. To move them, make sure that workers no longer execute them from `from` after the copy.
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
/// Returns the error of either store. Runs that were copied before stay copied.
///
/// # Cancel safety
/// If the future is dropped, the copy stops after a complete run.
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
                // The run was deleted in between.
                Rest::Gone => continue,
                Rest::Ended(stored) => (None, stored),
                Rest::Taken(lease, stored) => (Some(lease), stored),
            };
            match to.import(run.run.clone(), stored.clone()).await? {
                true => done.copied += 1,
                false => {
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

/// Passes on to the copy the changes that need no lease and happened meanwhile: answers, and a request to cancel the
/// run. Returns `true` if the copy has all of them.
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
            is_whole &= to.answer(answer).await? == Ok(());
        }
    }
    // The next owner of the run handles requests that were made before the copy.
    if now.header.cancel_requested && !copied.header.cancel_requested {
        let _: Cancelled = to.cancel(run).await?;
    }
    Ok(is_whole)
}

/// The state in which the copy finds a run.
enum Rest<'s, S: Operate> {
    /// The run has ended, so it is never executed again.
    Ended(StoredRun),
    /// This copy holds the run's lease, so no other owner executes it.
    Taken(Held<'s, S>, StoredRun),
    /// Another owner executes the run.
    Held,
    Gone,
}

async fn rest<'s, S: Operate>(store: &'s S, run: &RunSummary) -> Result<Rest<'s, S>, StoreError> {
    if run.status != Status::Completed {
        // A failed run may be retried, so its lease is taken too.
        let request = Open::new(run.run.clone(), run.workflow.clone(), Owner::unique())
            .version(run.version)
            .purpose(Purpose::Retry)
            .existing();
        match store.open(request).await? {
            Opened::Held { lease, run, .. } => return Ok(Rest::Taken(Held { store, lease }, run)),
            Opened::Refused(Refused::NoSuchRun) => return Ok(Rest::Gone),
            // The run is busy, or has changed since it was listed.
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
    async fn answer_and_cancellation_during_copy_reach_copy() {
        let (from, to, run) = (MemoryStore::new(), MemoryStore::new(), RunId::new("r").unwrap());
        let request = Open::new(run.clone(), "w", Owner::unique()).ttl(Duration::from_secs(60));
        let Opened::Held { lease, .. } = from.open(request).await.unwrap() else { panic!("no lease") };
        let request = Payload::from_stored("1");
        let wait = Wait { key: "ask".into(), token: "t".into(), request, expires_in: None };
        from.wait(&lease, wait).await.unwrap();
        let copied = from.load(&run).await.unwrap().unwrap();
        assert!(to.import(run.clone(), copied.clone()).await.unwrap());
        let answer = Answer::new(run.clone(), "ask", Outcome::Value(Payload::from_stored("7")));
        assert_eq!(from.answer(answer).await.unwrap(), Ok(()));
        assert_eq!(from.cancel(&run).await.unwrap(), Cancelled::Requested);

        assert!(follow(&from, &to, &run, copied, Held { store: &from, lease }).await.unwrap());
        let (old, new) = (from.load(&run).await.unwrap().unwrap(), to.load(&run).await.unwrap().unwrap());
        assert_eq!((&new.records, &new.waits), (&old.records, &old.waits));
        assert!(old.header.cancel_requested && new.header.cancel_requested);
    }
}

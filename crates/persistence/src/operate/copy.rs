use awaitly_core::store::{Imported, Operate, RunId, RunQuery, StoreError};

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
}

/// Copies the runs that `query` asks for from one store to another: everything of them but their leases.
///
/// What is there already stays, so copying again goes on where it stopped. Nothing is deleted; where the runs
/// are to move, let nobody open them here any more before they are copied.
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
            if run.held {
                done.held.push(run.run);
                continue;
            }
            // It may have been deleted in between.
            let Some(stored) = from.load(&run.run).await? else { continue };
            match to.import(run.run, stored).await? {
                Imported::Added => done.copied += 1,
                Imported::Exists => done.existed += 1,
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(done),
        }
    }
}

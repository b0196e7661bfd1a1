//! What people and engines ask of the store of a crash test: only the runs of the case are seen.

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{
    Answer, Answered, Cancelled, DeleteIf, Due, Imported, Operate, Page, RunId, RunQuery, RunSummary,
    StoreError, StoredRun, WaitQuery, Waiting, Wakes,
};

use super::boundary::Act;
use super::store::CrashStore;

impl<S: Operate> Operate for CrashStore<S> {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        let page = self.process.still(self.process.store.list(query)).await?;
        Ok(self.ours(page, |summary| &mut summary.run))
    }

    async fn waiting(&self, mut query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        query.run = query.run.as_ref().map(|run| self.outer(run)).transpose()?;
        let page = self.process.still(self.process.store.waiting(query)).await?;
        Ok(self.ours(page, |waiting| &mut waiting.run))
    }

    async fn due(&self, limit: usize) -> Result<Vec<Due>, StoreError> {
        let items = self.process.still(self.process.store.due(limit)).await?;
        Ok(self.ours(Page { items, next: None }, |due| &mut due.run).items)
    }

    async fn answer(&self, mut answer: Answer) -> Result<Answered, StoreError> {
        let key = answer.key.clone();
        answer.run = self.outer(&answer.run)?;
        self.call(Act::Answer, Some(&key), self.process.store.answer(answer)).await
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        let run = self.outer(run)?;
        self.call(Act::Cancellation, None, self.process.store.cancel(&run)).await
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        let runs = runs.iter().map(|run| self.outer(run)).collect::<Result<_, _>>()?;
        let deleted = self.process.still(self.process.store.delete(runs, condition)).await?;
        Ok(deleted.iter().filter_map(|run| self.inner(run)).collect())
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<Imported, StoreError> {
        let run = self.outer(&run)?;
        self.process.still(self.process.store.import(run, stored)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.process.still(self.process.store.now()).await
    }

    fn wakes(&self) -> Wakes {
        self.process.store.wakes()
    }
}

impl<S: Operate> CrashStore<S> {
    /// Those of a page that are of this case, with the run ids that it knows.
    fn ours<T>(&self, page: Page<T>, run: impl Fn(&mut T) -> &mut RunId) -> Page<T> {
        let Page { items, next } = page;
        let ours = items.into_iter().filter_map(|mut item| {
            *run(&mut item) = self.inner(run(&mut item))?;
            Some(item)
        });
        Page { items: ours.collect(), next }
    }
}

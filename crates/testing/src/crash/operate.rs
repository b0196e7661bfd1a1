//! What people and engines ask of the store of a crash test: only the runs of the case are seen.

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{
    Answer, Answered, Cancelled, DeleteIf, Due, DueQuery, Imported, Operate, Page, RunId, RunQuery,
    RunSummary, StoreError, StoredRun, WaitQuery, Waiting, Wakes,
};

use super::boundary::Act;
use super::store::CrashStore;

impl<S: Operate> Operate for CrashStore<S> {
    async fn list(&self, mut query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        let mut ours = Vec::new();
        loop {
            let page = self.look(self.process.store.list(query.clone())).await?;
            ours.extend(self.ours(page.items, |summary| &mut summary.run));
            match page.next {
                Some(next) if self.is_shared() && ours.len() < query.page_limit() => query.after = Some(next),
                next => return Ok(Page { items: ours, next }),
            }
        }
    }

    async fn waiting(&self, mut query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        query.run = query.run.as_ref().map(|run| self.outer(run)).transpose()?;
        let mut ours = Vec::new();
        loop {
            let page = self.look(self.process.store.waiting(query.clone())).await?;
            ours.extend(self.ours(page.items, |waiting| &mut waiting.run));
            match page.next {
                Some(next) if self.is_shared() && ours.len() < query.page_limit() => query.after = Some(next),
                next => return Ok(Page { items: ours, next }),
            }
        }
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        let limit = query.page_limit();
        let mut asked = limit;
        loop {
            let due = self.look(self.process.store.due(query.clone().limit(asked))).await?;
            let is_all = due.len() < asked;
            let mut ours = self.ours(due, |due| &mut due.run);
            if is_all || ours.len() >= limit {
                ours.truncate(limit);
                return Ok(ours);
            }
            asked = asked.saturating_mul(4);
        }
    }

    async fn answer(&self, mut answer: Answer) -> Result<Answered, StoreError> {
        let (run, key) = (self.outer(&answer.run)?, answer.key.clone());
        answer.run = run.clone();
        self.call(Act::Answer, Some(&key), &run, async {
            let answered = self.process.store.answer(answer).await?;
            if answered == Answered::Taken {
                self.watcher().notes.acknowledged(&self.noted(&run), key.clone());
            }
            Ok(answered)
        })
        .await
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        let run = self.outer(run)?;
        self.call(Act::Cancellation, None, &run, self.process.store.cancel(&run)).await
    }

    async fn cancel_without_undo(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        let run = self.outer(run)?;
        self.call(Act::Cancellation, None, &run, self.process.store.cancel_without_undo(&run)).await
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        let runs = runs.iter().map(|run| self.outer(run)).collect::<Result<Vec<_>, _>>()?;
        self.look(async {
            let deleted = self.process.store.delete(runs, condition).await?;
            deleted.iter().for_each(|run| self.watcher().notes.rewritten(&self.noted(run), []));
            Ok(deleted.iter().filter_map(|run| self.inner(run)).collect())
        })
        .await
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<Imported, StoreError> {
        let run = self.outer(&run)?;
        self.look(async {
            self.watcher().notes.opened(&self.noted(&run));
            self.process.store.import(run, stored).await
        })
        .await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.look(self.process.store.now()).await
    }

    fn wakes(&self) -> Wakes {
        self.process.store.wakes()
    }
}

impl<S: Operate> CrashStore<S> {
    /// Whether there are runs in the store that are not of this case.
    fn is_shared(&self) -> bool {
        self.watcher().scope.is_some()
    }

    /// Those that are of this case, with the run ids that it knows.
    fn ours<T>(&self, items: Vec<T>, run: impl Fn(&mut T) -> &mut RunId) -> Vec<T> {
        let ours = items.into_iter().filter_map(|mut item| {
            *run(&mut item) = self.inner(run(&mut item))?;
            Some(item)
        });
        ours.collect()
    }
}

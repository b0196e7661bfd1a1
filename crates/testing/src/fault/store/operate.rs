//! What people and engines ask of the store.

use awaitly_core::journal::Timestamp;
use awaitly_core::store::{
    Answer, Answered, Cancelled, DeleteIf, Due, DueQuery, Imported, Operate, Page, RunId, RunQuery,
    RunSummary, StoreError, StoredRun, WaitQuery, Waiting, Wakes,
};

use super::super::call::Call;
use super::super::plan::Called;
use super::{FaultyStore, carry_out};

impl<S: Operate> Operate for FaultyStore<S> {
    async fn list(&self, query: RunQuery) -> Result<Page<RunSummary>, StoreError> {
        let fault = self.befall(Called::new(Call::List, None, query.key.as_ref()))?;
        carry_out(fault, self.inner().list(query)).await
    }

    async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        let fault = self.befall(Called::new(Call::Waiting, query.run.as_ref(), query.key.as_ref()))?;
        carry_out(fault, self.inner().waiting(query)).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        let fault = self.befall(Called::new(Call::Due, None, None))?;
        carry_out(fault, self.inner().due(query)).await
    }

    async fn answer(&self, answer: Answer) -> Result<Answered, StoreError> {
        let fault = self.befall(Called::new(Call::Answer, Some(&answer.run), Some(&answer.key)))?;
        carry_out(fault, self.inner().answer(answer)).await
    }

    async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        let fault = self.befall(Called::new(Call::Cancel, Some(run), None))?;
        carry_out(fault, self.inner().cancel(run)).await
    }

    async fn cancel_without_undo(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        let fault = self.befall(Called::new(Call::Cancel, Some(run), None))?;
        carry_out(fault, self.inner().cancel_without_undo(run)).await
    }

    async fn delete(&self, runs: Vec<RunId>, condition: DeleteIf) -> Result<Vec<RunId>, StoreError> {
        let run = if let [run] = runs.as_slice() { Some(run) } else { None };
        let fault = self.befall(Called::new(Call::Delete, run, None))?;
        carry_out(fault, self.inner().delete(runs, condition)).await
    }

    async fn import(&self, run: RunId, stored: StoredRun) -> Result<Imported, StoreError> {
        let fault = self.befall(Called::new(Call::Import, Some(&run), None))?;
        carry_out(fault, self.inner().import(run, stored)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let fault = self.befall(Called::new(Call::Now, None, None))?;
        carry_out(fault, self.inner().now()).await
    }

    fn wakes(&self) -> Wakes {
        self.inner().wakes()
    }
}

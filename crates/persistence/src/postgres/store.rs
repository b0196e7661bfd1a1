//! The store's calls for runs: the lanes write records, and begin, end and lease runs; the pool serves the rest.

use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Header, Key, Outcome, Record, Settling};
use awaitly_core::store::{
    Durability, Ending, Input, Lease, OnRecorded, Open, Opened, Owner, Renewed, Rewrite, RunId, Store,
    StoreError, StoredRun, Transactional, Wait,
};
use tracing::Instrument;

use super::dispatch::{restart, unique_owner};
use super::lane::{Append, Begin, Finish, Flush, Op, Renew};
use super::open::{self, Asked};
use super::patience::Patience;
use super::pool::{Connection, Length};
use super::schema::Failure;
use super::transaction::PostgresTransaction;
use super::{PostgresStore, Shared, error, write};
use crate::limits;
use crate::unclaimed::Back;

impl Store for PostgresStore {
    async fn open(&self, mut request: Open) -> Result<Opened, StoreError> {
        request.owner = Owner::new(unique_owner(&request.owner));
        let request = Arc::new(request);
        let (statements, patience) = (&self.0.statements, self.patience());
        loop {
            let begin = Arc::clone(&request);
            let back = self.back();
            if !request.must_exist
                && let Some(began) = self
                    .0
                    .turns
                    .ops
                    .ask(|fate| Op::Begin(Begin { request: begin, patience, fate, back }))
                    .await?
            {
                let header = Header::begin(&request, began.now);
                let input = request.input.as_ref().map(|input| input.payload.clone());
                let lease = began.lease.claim();
                let run = StoredRun { header, input, records: Vec::new(), waits: Vec::new() };
                return Ok(Opened::Held { lease, now: began.now, run });
            }
            // If this future is dropped meanwhile, the task continues and releases the lease that it gets.
            let (store, asking) = (self.clone(), Arc::clone(&request));
            let ask = async move { store.ask_for(&asking, patience).await };
            let asked = tokio::spawn(ask.in_current_span()).await;
            let asked = asked.unwrap_or_else(|ended| match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Err(StoreError::Closed),
            })?;
            let (lease, now, run) = match asked {
                Asked::Opened(Opened::Refused(refused)) => {
                    return limits::refused(self, &request.run, request.purpose, refused).await;
                }
                Asked::Opened(opened) => return Ok(opened),
                Asked::Held { lease, now, run } => (lease, now, run),
                Asked::Again => continue,
            };
            let slot = run.slot;
            let read = |mut connection: Connection| async move {
                Ok(open::journal(&mut connection, statements, slot).await?)
            };
            let (records, waits) = self.insist_for(patience, Length::Long, read).await?;
            let run = StoredRun { header: run.header, input: run.input, records, waits };
            return Ok(Opened::Held { lease: lease.claim(), now, run });
        }
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        if self.0.turns.gives_back(lease) {
            return Err(error::lost(lease));
        }
        let (lease, patience) = (lease.clone(), self.patience());
        self.0.appends.ask(|fate| Op::Append(Append { lease, record, durability, patience, fate })).await
    }

    async fn replace(&self, lease: &Lease, record: Record, _: Durability) -> Result<(), StoreError> {
        let statements = &self.0.statements;
        self.write_flushed(lease, |connection| write::replace(connection, statements, lease, &record)).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        let statements = &self.0.statements;
        self.write_flushed(lease, |connection| write::wait(connection, statements, lease, &wait)).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        let statements = &self.0.statements;
        let settle = |connection| write::close_entry(connection, statements, lease, &record, settling);
        self.write_flushed(lease, settle).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Short, |connection| write::revive(connection, statements, lease, &drop)).await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Long, |connection| write::rewrite(connection, statements, lease, &rewrite)).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        limits::ending(&ending)?;
        let patience = self.patience();
        self.flushed(lease, patience).await?;
        let (lease, ending) = (lease.clone(), Box::new(ending));
        self.0.turns.ops.ask(|fate| Op::Finish(Finish { lease, ending, patience, fate })).await
    }

    /// Starts the run again.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the connection is lost before the store knows whether the run started again.
    async fn restart(&self, lease: &Lease, input: Option<Input>) -> Result<(), StoreError> {
        self.flushed(lease, self.patience()).await?;
        let Shared { statements, channel, bell, .. } = &*self.0;
        let restart = |connection| restart(connection, statements, channel, lease, input.as_ref());
        self.once(Length::Long, restart).await?;
        bell.ring();
        Ok(())
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let (lease, patience) = (lease.clone(), self.patience());
        self.0.turns.ops.ask(|fate| Op::Renew(Renew { lease, ttl, patience, fate })).await
    }

    fn release(&self, lease: &Lease) {
        self.0.turns.release(lease.clone());
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Long, |connection| open::stored(connection, statements, run)).await
    }

    fn durability(&self) -> &'static str {
        self.0.durability
    }
}

impl Transactional for PostgresStore {
    type Transaction = PostgresTransaction;

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        self.begin_transaction().await
    }

    async fn commit(
        &self,
        transaction: Self::Transaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        self.commit_transaction(transaction, lease, &record, on_recorded).await
    }
}

impl PostgresStore {
    /// Makes sure, before a write other than a record, that all earlier records under this lease are on the disk. If
    /// they may be lost, the lease is released instead.
    pub(super) async fn flushed(&self, lease: &Lease, patience: Patience) -> Result<(), StoreError> {
        if self.0.unflushed.concern(lease) {
            self.0.appends.ask(|fate| Op::Flush(Flush { patience, fate })).await?;
        }
        Ok(())
    }

    /// Carries out a write that is not a record, after the earlier records under the lease are on the disk.
    pub(super) async fn write_flushed<T: Send, Fut>(
        &self,
        lease: &Lease,
        write: impl Fn(Connection) -> Fut + Send + Sync,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        let patience = self.patience();
        self.flushed(lease, patience).await?;
        self.insist_for(patience, Length::Short, write).await
    }

    pub(super) fn back(&self) -> Arc<dyn Back> {
        Arc::clone(&self.0.turns) as Arc<dyn Back>
    }

    async fn ask_for(&self, request: &Open, patience: Patience) -> Result<Asked, StoreError> {
        let (statements, back) = (&self.0.statements, &self.back());
        let ask = |connection| open::ask(connection, statements, request, back);
        self.insist_for(patience, Length::Short, ask).await
    }
}

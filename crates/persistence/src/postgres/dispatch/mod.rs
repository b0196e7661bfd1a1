//! Queues: runs that clients submit, and claims of workers.
//!
//! A due run has a row in `ready`, in the order in which runs start. Such a row is a *hint*: a claim locks the run, and
//! takes it only if the run itself is due and free. Therefore a call that changes a run need not keep the hints exact,
//! and no call has to lock two tables in a fixed order.
//!
//! A claim finds a run that becomes due later by one of two times: `due_at` of the run, or `due_at` of the row in
//! `claims` that the last claim of the run wrote. These times are hints, too. A claimed run needs only the second one.
//! So for most runs, neither the claim nor the completion changes an indexed column.

mod claim;
mod duplicates;
mod exchange;
mod fair;
mod plain;
mod probe;
mod queues;
mod runs;
mod schedules;
mod special;
mod standing;
mod submit;
mod take;
mod vacuum;
mod within;

use std::sync::Arc;

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::{Header, Key, Outcome, Payload, Refused};
use awaitly_core::store::{
    Claim, Claimed, Configure, Dispatch, Held, Lease, Message, Pausing, Publish, PutSchedule, QueueState,
    Reschedule, RunId, ScheduleQuery, Standing, StoreError, StoredSchedule, StreamPart, Submit, Submitted,
    Unsent,
};

pub(super) use claim::{Claiming, Taken, claim};
pub(super) use exchange::{report, restart};
pub(super) use standing::unique_owner;
pub(super) use submit::{Submitting, submit};
pub(super) use vacuum::Vacuum;

use super::lane::Op;
use super::pool::Length;
use super::{PostgresStore, Shared};
use crate::limits;

impl Dispatch for PostgresStore {
    async fn submit(&self, batch: Vec<Submit>) -> Result<Vec<Result<Submitted, Refused>>, StoreError> {
        limits::submitted(&batch)?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let patience = self.patience();
        let submitted = self
            .0
            .submissions
            .ask(|fate| Op::Submit(Submitting { batch, nonce: submit::nonce(), patience, fate }))
            .await?;
        Ok(submitted)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let patience = self.patience();
        self.0.turns.settled(patience).await?;
        let owner = standing::unique_owner(&claim.owner);
        let back = self.back();
        let taken = self
            .0
            .claims
            .ask(|fate| Op::Claim(Claiming { request: claim, owner, patience, fate, back }))
            .await?;
        let Taken { runs, now, next, schedule } = taken;
        let runs = runs.into_iter().map(|(lease, run)| Held { lease: lease.claim(), run }).collect();
        Ok(Claimed { runs, now, next, schedule })
    }

    async fn headers(&self, runs: Vec<RunId>) -> Result<Vec<Option<Header>>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Long, |connection| exchange::headers(connection, statements, &runs)).await
    }

    async fn standing(&self, run: &RunId) -> Result<Option<Standing>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Long, |connection| standing::read(connection, statements, run)).await
    }

    /// Sends messages.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the connection is lost before the store knows whether the messages were
    /// sent. It is safe to repeat the call for messages with an id.
    async fn send(&self, messages: Vec<Message>) -> Result<Vec<Result<(), Unsent>>, StoreError> {
        limits::queues(messages.iter().map(|message| &*message.mailbox))?;
        let Shared { statements, channel, bell, .. } = &*self.0;
        let send = |connection| exchange::send(connection, statements, channel, &messages);
        let sent = self.once(Length::Long, send).await?;
        bell.ring();
        Ok(sent)
    }

    async fn receive(
        &self,
        lease: &Lease,
        mailbox: Arc<str>,
        key: Key,
    ) -> Result<Option<Outcome>, StoreError> {
        let statements = &self.0.statements;
        let receive = |connection| exchange::receive(connection, statements, lease, &mailbox, &key);
        self.write_flushed(lease, receive).await
    }

    async fn publish(&self, lease: &Lease, published: Vec<Publish>) -> Result<(), StoreError> {
        limits::published(&published)?;
        let statements = &self.0.statements;
        let publish = |connection| exchange::publish(connection, statements, lease, &published);
        self.write_flushed(lease, publish).await?;
        self.0.bell.ring();
        Ok(())
    }

    async fn published(&self, run: &RunId, name: Arc<str>) -> Result<Option<Payload>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Short, |connection| exchange::published(connection, statements, run, &name)).await
    }

    async fn stream(
        &self,
        run: &RunId,
        stream: Arc<str>,
        from: u64,
        limit: usize,
    ) -> Result<Option<StreamPart>, StoreError> {
        let statements = &self.0.statements;
        let read = |connection| exchange::stream(connection, statements, run, &stream, (from, limit));
        self.insist(Length::Long, read).await
    }

    async fn schedules(&self, query: ScheduleQuery) -> Result<Vec<StoredSchedule>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Short, |connection| schedules::find(connection, statements, &query)).await
    }

    async fn put_schedules(&self, changes: Vec<PutSchedule>) -> Result<Vec<bool>, StoreError> {
        limits::schedules(&changes)?;
        let Shared { statements, channel, bell, .. } = &*self.0;
        let put = |connection| schedules::put(connection, statements, channel, &changes);
        let made = self.once(Length::Short, put).await?;
        bell.ring();
        Ok(made)
    }

    async fn configure(&self, queues: Vec<Queue>, configure: Configure) -> Result<(), StoreError> {
        limits::queues(queues.iter().map(|queue| &*queue.name))?;
        let Shared { statements, channel, bell, .. } = &*self.0;
        let configure = |connection| queues::configure(connection, statements, channel, &queues, configure);
        self.insist(Length::Long, configure).await?;
        bell.ring();
        Ok(())
    }

    async fn queues(&self) -> Result<Vec<QueueState>, StoreError> {
        let statements = &self.0.statements;
        self.insist(Length::Short, |connection| queues::all(connection, statements)).await
    }

    async fn pause_queues(&self, queues: Vec<Arc<str>>, pausing: Pausing) -> Result<(), StoreError> {
        limits::queues(queues.iter().map(|queue| &**queue))?;
        let Shared { statements, channel, bell, .. } = &*self.0;
        let pause = |connection| queues::pause(connection, statements, channel, &queues, pausing);
        self.insist(Length::Short, pause).await?;
        bell.ring();
        Ok(())
    }

    async fn pause(&self, runs: Vec<RunId>, pausing: Pausing) -> Result<Vec<RunId>, StoreError> {
        let Shared { statements, channel, bell, .. } = &*self.0;
        let pause = |connection| runs::pause(connection, statements, channel, &runs, pausing);
        let changed = self.once(Length::Long, pause).await?;
        bell.ring();
        Ok(changed)
    }

    async fn reschedule(&self, runs: Vec<RunId>, change: Reschedule) -> Result<Vec<RunId>, StoreError> {
        limits::rescheduled(&change)?;
        let Shared { statements, channel, bell, .. } = &*self.0;
        let reschedule = |connection| runs::reschedule(connection, statements, channel, &runs, &change);
        let changed = self.once(Length::Long, reschedule).await?;
        bell.ring();
        Ok(changed)
    }
}

//! Queues: runs that clients submit, and claims of workers.
//!
//! A due run has a row in `ready`, in the order in which runs start. Such a row is a *hint*: a claim locks the run, and
//! takes it only if the run itself shows that it is due and free. Therefore a call that changes a run need not keep the
//! hints exact, and no call has to lock two tables in an order.
//!
//! A claim finds a run that becomes due later through one of two times, which are hints, too: `due_at` of the run, or
//! `due_at` of the row in `claims` that the last claim of the run left. The second one keeps the index of the first one
//! out of the life of most runs: neither their claim nor their completion changes an indexed column.

mod claim;
mod fair;
mod probe;
mod queues;
mod runs;
mod special;
mod submit;
mod take;
mod vacuum;

use std::sync::Arc;

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::Refused;
use awaitly_core::store::{
    Claim, Claimed, Configure, Dispatch, Held, Owner, Pausing, QueueState, Reschedule, RunId, StoreError,
    Submit, Submitted,
};

pub(super) use claim::{Claiming, Taken, claim};
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
        // The claim gets a unique owner name, so that a claim whose answer was lost can find its leases by that name. The
        // name is short, because each claimed run must fit beside its old version into a page.
        let owner = Owner::unique().as_str().to_owned();
        let back = self.back();
        let taken = self
            .0
            .claims
            .ask(|fate| Op::Claim(Claiming { request: claim, owner, patience, fate, back }))
            .await?;
        let Taken { runs, now, next } = taken;
        let runs = runs.into_iter().map(|(lease, run)| Held { lease: lease.claim(), run }).collect();
        Ok(Claimed { runs, now, next })
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

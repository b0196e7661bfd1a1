//! The operations of clients and workers.
//!
//! The columns `due_at` and `ready` of a run say where claims find it: see [`Ready`](super::runs::Ready). A claim first
//! makes the runs ready whose time has come, and then takes ready runs in the order of an index. So neither the runs
//! that wait for their time nor the runs that have ended cost a claim anything.

mod behind;
mod claim;
mod lanes;
mod place;
mod queues;
mod submit;

use std::sync::Arc;

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::Refused;
use awaitly_core::store::{
    Claim, Claimed, Configure, Dispatch, Held, Pausing, QueueState, Reschedule, RunId, StoreError, StoredRun,
    Submit, Submitted,
};

use super::SqliteStore;
use super::apply::Batch;
use super::error::Failure;
use super::open::Taken;
use super::reader::Job;
use super::requests::Request;
use crate::limits;
use crate::unclaimed::Back;
pub(super) use claim::Claims;
pub(super) use queues::{Queues, states};

/// The number of bytes that a run counts in the queue of the writer beside its input, so that a commit does not take
/// too long.
const RUN_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct Submission(Vec<Submit>);

/// A claim, and the way back for the leases that do not reach their caller.
#[derive(Debug)]
pub(super) struct Claiming(Claim, Arc<dyn Back>);

#[derive(Debug)]
pub(super) struct Configuration(Vec<Queue>, Configure);

#[derive(Debug)]
pub(super) struct PausedQueues(Vec<Arc<str>>, Pausing);

#[derive(Debug)]
pub(super) struct PausedRuns(Vec<RunId>, Pausing);

#[derive(Debug)]
pub(super) struct Moved(Vec<RunId>, Reschedule);

impl Request for Submission {
    type Answer = Vec<Result<Submitted, Refused>>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure> {
        batch.submit(&self.0)
    }

    fn wakes(&self) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        let input = |submit: &Submit| submit.input.as_ref().map_or(0, |input| input.payload.len());
        self.0.iter().map(|submit| RUN_BYTES + input(submit)).sum()
    }
}

/// A claim need not survive a crash of the system, for the reasons that hold for an opening.
impl Request for Claiming {
    type Answer = Claims;

    const LEASES: bool = true;
    // Without a caller, the leases would never be released.
    const NEEDS_CALLER: bool = true;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Claims, Failure> {
        batch.claim(&self.0)
    }

    fn committed(&self, mut claims: Claims) -> Claims {
        let committed = |taken: Taken| taken.committed(Arc::clone(&self.1));
        claims.runs = claims.runs.into_iter().map(committed).collect();
        claims
    }

    fn must_be_durable(&self) -> bool {
        false
    }
}

impl Request for Configuration {
    type Answer = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        batch.configure(&self.0, self.1)
    }

    fn wakes(&self) -> bool {
        true
    }
}

impl Request for PausedQueues {
    type Answer = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        batch.pause_queues(&self.0, self.1)
    }

    fn wakes(&self) -> bool {
        true
    }
}

impl Request for PausedRuns {
    type Answer = Vec<RunId>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<RunId>, Failure> {
        batch.pause(&self.0, self.1)
    }

    fn wakes(&self) -> bool {
        true
    }
}

impl Request for Moved {
    type Answer = Vec<RunId>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<RunId>, Failure> {
        batch.reschedule(&self.0, &self.1)
    }

    fn wakes(&self) -> bool {
        true
    }
}

impl Dispatch for SqliteStore {
    async fn submit(&self, batch: Vec<Submit>) -> Result<Vec<Result<Submitted, Refused>>, StoreError> {
        limits::submitted(&batch)?;
        self.ask(Submission(batch)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let Claims { runs, now, next } = self.ask(Claiming(claim, Arc::new(self.ops.clone()))).await?;
        let slots: Vec<_> = runs.iter().filter_map(|taken| taken.found).collect();
        let journals = match slots.is_empty() {
            true => Vec::new(),
            false => self.read(|fate| Job::Journals { slots, fate }).await?,
        };
        let mut journals = journals.into_iter();
        let held = |Taken { lease, header, input, found }| {
            let lease = lease.claim();
            let journal = found.and_then(|_| journals.next()).unwrap_or_else(|| Ok((Vec::new(), Vec::new())));
            match journal {
                Ok((records, waits)) => Some(Held { lease, run: StoredRun { header, input, records, waits } }),
                Err(error) => {
                    // The lease lasts until it expires, so that this run does not occupy every claim.
                    tracing::error!(run = %lease.run(), %error, "the journal of a due run cannot be read");
                    None
                }
            }
        };
        Ok(Claimed { runs: runs.into_iter().filter_map(held).collect(), now, next })
    }

    async fn configure(&self, queues: Vec<Queue>, configure: Configure) -> Result<(), StoreError> {
        limits::queues(queues.iter().map(|queue| &*queue.name))?;
        self.ask(Configuration(queues, configure)).await
    }

    async fn queues(&self) -> Result<Vec<QueueState>, StoreError> {
        self.read(|fate| Job::Queues { fate }).await
    }

    async fn pause_queues(&self, queues: Vec<Arc<str>>, pausing: Pausing) -> Result<(), StoreError> {
        limits::queues(queues.iter().map(|queue| &**queue))?;
        self.ask(PausedQueues(queues, pausing)).await
    }

    async fn pause(&self, runs: Vec<RunId>, pausing: Pausing) -> Result<Vec<RunId>, StoreError> {
        self.ask(PausedRuns(runs, pausing)).await
    }

    async fn reschedule(&self, runs: Vec<RunId>, change: Reschedule) -> Result<Vec<RunId>, StoreError> {
        limits::rescheduled(&change)?;
        self.ask(Moved(runs, change)).await
    }
}

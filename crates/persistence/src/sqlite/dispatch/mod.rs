//! The operations of clients and workers.
//!
//! A claim finds a run by its columns `due_at` and `ready`: see [`Ready`](super::runs::Ready). The claim first makes
//! the runs ready whose time has come, and then takes ready runs in the order of an index. So runs that wait and runs
//! that have ended do not slow down a claim.

mod behind;
mod children;
mod claim;
mod duplicates;
mod lanes;
mod mail;
mod place;
mod published;
mod queues;
mod requests;
mod restart;
mod schedules;
mod standing;
mod submit;

use std::sync::Arc;

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::{Header, Key, Outcome, Payload, Refused};
use awaitly_core::store::{
    Claim, Claimed, Configure, Dispatch, Held, Lease, Message, Pausing, Publish, PutSchedule, QueueState,
    Reschedule, RunId, ScheduleQuery, Standing, StoreError, StoredRun, StoredSchedule, StreamPart, Submit,
    Submitted, Unsent,
};

use super::SqliteStore;
use super::open::Taken;
use super::reader::Job;
use crate::limits;
pub(super) use claim::Claims;
pub(super) use published::{Streamed, part, value};
pub(super) use queues::{Queues, states};
pub(super) use requests::{
    Claiming, Configuration, Moved, PausedQueues, PausedRuns, Publishing, Receiving, Schedules, Sending,
    Submission,
};
pub(super) use schedules::find as find_schedules;
pub(super) use standing::standing;

impl Dispatch for SqliteStore {
    async fn submit(&self, batch: Vec<Submit>) -> Result<Vec<Result<Submitted, Refused>>, StoreError> {
        limits::submitted(&batch)?;
        self.ask(Submission(batch)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let Claims { runs, now, next, schedule } =
            self.ask(Claiming(claim, Arc::new(self.ops.clone()))).await?;
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
                Ok((records, waits)) => {
                    Some(Held { lease, run: StoredRun { header, input, records, waits } })
                }
                Err(error) => {
                    // This run keeps its lease until the lease expires, so that the next claims do not read it again.
                    tracing::error!(run = %lease.run(), %error, "the journal of a due run cannot be read");
                    None
                }
            }
        };
        Ok(Claimed { runs: runs.into_iter().filter_map(held).collect(), now, next, schedule })
    }

    async fn headers(&self, runs: Vec<RunId>) -> Result<Vec<Option<Header>>, StoreError> {
        self.read(|fate| Job::Headers { runs, fate }).await
    }

    async fn standing(&self, run: &RunId) -> Result<Option<Standing>, StoreError> {
        let run = run.clone();
        self.read(|fate| Job::Standing { run, fate }).await
    }

    async fn send(&self, messages: Vec<Message>) -> Result<Vec<Result<(), Unsent>>, StoreError> {
        limits::queues(messages.iter().map(|message| &*message.mailbox))?;
        self.ask(Sending(messages)).await
    }

    async fn receive(
        &self,
        lease: &Lease,
        mailbox: Arc<str>,
        key: Key,
    ) -> Result<Option<Outcome>, StoreError> {
        self.ask(Receiving { lease: lease.clone(), mailbox, key }).await
    }

    async fn publish(&self, lease: &Lease, published: Vec<Publish>) -> Result<(), StoreError> {
        limits::published(&published)?;
        self.ask(Publishing(lease.clone(), published)).await
    }

    async fn published(&self, run: &RunId, name: Arc<str>) -> Result<Option<Payload>, StoreError> {
        let run = run.clone();
        self.read(|fate| Job::Published { run, name, fate }).await
    }

    async fn stream(
        &self,
        run: &RunId,
        stream: Arc<str>,
        from: u64,
        limit: usize,
    ) -> Result<Option<StreamPart>, StoreError> {
        let streamed = Streamed { run: run.clone(), stream, from, limit };
        self.read(|fate| Job::Stream { streamed, fate }).await
    }

    async fn schedules(&self, query: ScheduleQuery) -> Result<Vec<StoredSchedule>, StoreError> {
        self.read(|fate| Job::Schedules { query, fate }).await
    }

    async fn put_schedules(&self, changes: Vec<PutSchedule>) -> Result<Vec<bool>, StoreError> {
        limits::schedules(&changes)?;
        self.ask(Schedules(changes)).await
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

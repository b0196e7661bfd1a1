//! The requests of clients and workers to the writer thread.

use std::sync::Arc;

use awaitly_core::dispatch::Queue;
use awaitly_core::journal::{Key, Outcome, Refused};
use awaitly_core::store::{
    Claim, Configure, Lease, Message, Pausing, Publish, PutSchedule, Reschedule, RunId, Submit, Submitted,
    Unsent,
};

use super::super::apply::Batch;
use super::super::error::Failure;
use super::super::open::Taken;
use super::super::requests::Request;
use super::claim::Claims;
use crate::unclaimed::Back;

/// The number of bytes that the writer's queue counts for a run, in addition to its input. It limits the runs of a
/// commit.
const RUN_BYTES: usize = 1024;

#[derive(Debug)]
pub(in super::super) struct Submission(pub(super) Vec<Submit>);

/// A claim, and the means to release the leases that do not reach their caller.
#[derive(Debug)]
pub(in super::super) struct Claiming(pub(super) Claim, pub(super) Arc<dyn Back>);

#[derive(Debug)]
pub(in super::super) struct Configuration(pub(super) Vec<Queue>, pub(super) Configure);

#[derive(Debug)]
pub(in super::super) struct PausedQueues(pub(super) Vec<Arc<str>>, pub(super) Pausing);

#[derive(Debug)]
pub(in super::super) struct PausedRuns(pub(super) Vec<RunId>, pub(super) Pausing);

#[derive(Debug)]
pub(in super::super) struct Moved(pub(super) Vec<RunId>, pub(super) Reschedule);

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

/// A claim need not survive a crash of the system, for the reasons given for an opening.
impl Request for Claiming {
    type Answer = Claims;

    const LEASES: bool = true;
    // If the caller is gone, no one else would release the leases.
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

#[derive(Debug)]
pub(in super::super) struct Sending(pub(super) Vec<Message>);

#[derive(Debug)]
pub(in super::super) struct Receiving {
    pub(super) lease: Lease,
    pub(super) mailbox: Arc<str>,
    pub(super) key: Key,
}

#[derive(Debug)]
pub(in super::super) struct Publishing(pub(super) Lease, pub(super) Vec<Publish>);

#[derive(Debug)]
pub(in super::super) struct Schedules(pub(super) Vec<PutSchedule>);

impl Request for Sending {
    type Answer = Vec<Result<(), Unsent>>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure> {
        batch.send(&self.0)
    }

    fn wakes(&self) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|message| message.payload.len()).sum()
    }
}

impl Request for Receiving {
    type Answer = Option<Outcome>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure> {
        batch.receive(&self.lease, &self.mailbox, &self.key)
    }
}

/// A published value need not survive a crash of the system. If it is lost, so are the later records of the run, and
/// the resumed run publishes the value again.
impl Request for Publishing {
    type Answer = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        batch.publish(&self.0, &self.1)
    }

    fn must_be_durable(&self) -> bool {
        false
    }

    fn wakes(&self) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        self.1.iter().map(|one| one.payload.len()).sum()
    }
}

impl Request for Schedules {
    type Answer = Vec<bool>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<bool>, Failure> {
        batch.put_schedules(&self.0)
    }

    fn wakes(&self) -> bool {
        true
    }
}

//! The requests to the writer thread, each with its type of answer.

use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{Outcome, Record, Settling, Timestamp, Unanswered};
use awaitly_core::store::{
    Answer, Cancelled, Cancelling, DeleteIf, Durability, Lease, Open, Renewed, RunId, StoredRun,
};

use super::apply::{Batch, Change};
use super::error::Failure;
use super::open::Admitted;
use crate::unclaimed::Back;

/// A request to the writer thread.
pub(super) trait Request: Send + 'static {
    /// The answer, which the caller receives once the request is committed.
    type Answer: Send;

    /// Whether the request gives or renews a lease.
    const LEASES: bool = false;

    /// Whether the request is skipped if its caller is gone.
    const NEEDS_CALLER: bool = false;

    /// Carries the request out inside a transaction.
    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure>;

    /// Converts the answer to the form that is sent to the caller, after the commit.
    fn committed(&self, answer: Self::Answer) -> Self::Answer {
        answer
    }

    /// Returns `true` if a crash of the system right after the answer must not undo the request.
    fn must_be_durable(&self) -> bool {
        true
    }

    /// Returns `true` if the request may make a run due.
    fn wakes(&self) -> bool {
        false
    }

    /// Returns the size of the request's values in bytes.
    fn bytes(&self) -> usize {
        0
    }
}

/// A request for the lease of a run.
#[derive(Debug)]
pub(super) struct Admit {
    pub(super) request: Box<Open>,
    pub(super) back: Arc<dyn Back>,
}

/// A write by the holder of a lease.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) lease: Lease,
    pub(super) change: Change,
}

#[derive(Debug)]
pub(super) struct Settle {
    pub(super) lease: Lease,
    pub(super) record: Record,
    pub(super) settling: Settling,
}

#[derive(Debug)]
pub(super) struct Renew {
    pub(super) lease: Lease,
    pub(super) ttl: Duration,
}

#[derive(Debug)]
pub(super) struct Release(pub(super) Lease);

#[derive(Debug)]
pub(super) struct Cancel {
    pub(super) run: RunId,
    pub(super) cancelling: Cancelling,
}

#[derive(Debug)]
pub(super) struct Delete {
    pub(super) runs: Vec<RunId>,
    pub(super) condition: DeleteIf,
}

#[derive(Debug)]
pub(super) struct Import {
    pub(super) run: RunId,
    pub(super) stored: Box<StoredRun>,
}

/// A search for dead owners.
#[derive(Debug)]
pub(super) struct Search;

/// A question for the time, which is answered after the operations before it.
#[derive(Debug)]
pub(super) struct Now;

// Other processes must see an opening, a renewal or a release, and they do after its commit. It need not survive a
// crash of the system: all owners are dead after that, and a run that was opened and has recorded no outcome begins
// again or is taken over.

impl Request for Admit {
    type Answer = Box<Admitted>;

    const LEASES: bool = true;
    // Without a caller, the lease would never be released.
    const NEEDS_CALLER: bool = true;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure> {
        batch.open(&self.request).map(Box::new)
    }

    fn committed(&self, answer: Self::Answer) -> Self::Answer {
        match *answer {
            Admitted::Held(taken, now) => {
                Box::new(Admitted::Held(taken.committed(Arc::clone(&self.back)), now))
            }
            _ => answer,
        }
    }

    fn must_be_durable(&self) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        self.request.input.as_ref().map_or(0, |input| input.payload.len())
    }
}

impl Request for Write {
    type Answer = ();

    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        batch.change(&self.lease, &self.change)
    }

    fn must_be_durable(&self) -> bool {
        !matches!(
            self.change,
            Change::Append(_, Durability::Batched) | Change::Replace(_, Durability::Batched)
        )
    }

    fn wakes(&self) -> bool {
        matches!(self.change, Change::Revive(_) | Change::Finish(_) | Change::Restart(_))
    }

    fn bytes(&self) -> usize {
        match &self.change {
            Change::Append(record, _) | Change::Replace(record, _) => size(record),
            Change::Wait(wait) => wait.request.len(),
            Change::Rewrite(rewrite) => rewrite.contents.records.iter().map(size).sum(),
            Change::Finish(ending) => ending.outcome.as_ref().map_or(0, |outcome| outcome.payload().len()),
            Change::Restart(input) => input.as_ref().map_or(0, |input| input.payload.len()),
            Change::Revive(_) => 0,
        }
    }
}

impl Request for Settle {
    type Answer = Option<Outcome>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure> {
        batch.close_entry(&self.lease, &self.record, self.settling)
    }
}

impl Request for Renew {
    type Answer = Renewed;

    const LEASES: bool = true;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Renewed, Failure> {
        batch.renew(&self.lease, self.ttl)
    }

    fn must_be_durable(&self) -> bool {
        false
    }
}

impl Request for Release {
    type Answer = ();

    /// A lease that is no longer held needs no release, and no caller waits for the answer.
    fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        batch.release(&self.0)
    }

    fn must_be_durable(&self) -> bool {
        false
    }

    fn wakes(&self) -> bool {
        true
    }
}

impl Request for Box<Answer> {
    type Answer = Result<(), Unanswered>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<(), Unanswered>, Failure> {
        batch.answer(self)
    }

    fn wakes(&self) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        self.outcome.payload().len()
    }
}

impl Request for Cancel {
    type Answer = Cancelled;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Cancelled, Failure> {
        batch.cancel(&self.run, self.cancelling)
    }

    fn wakes(&self) -> bool {
        true
    }
}

impl Request for Delete {
    type Answer = Vec<RunId>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure> {
        batch.delete(&self.runs, self.condition)
    }
}

impl Request for Import {
    type Answer = bool;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<bool, Failure> {
        batch.import(&self.run, &self.stored)
    }

    fn wakes(&self) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        self.stored.records.iter().map(size).sum()
    }
}

/// Makes the runs of dead owners due, and returns the current time. The writer thread carries it out, because only this
/// thread knows which owners are alive.
impl Request for Search {
    type Answer = Timestamp;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Timestamp, Failure> {
        batch.bury_dead_owners()?;
        Ok(batch.now)
    }

    fn must_be_durable(&self) -> bool {
        false
    }
}

impl Request for Now {
    type Answer = Timestamp;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Timestamp, Failure> {
        Ok(batch.now)
    }

    fn must_be_durable(&self) -> bool {
        false
    }
}

fn size(record: &Record) -> usize {
    record.key.len() + record.outcome.payload().len()
}

#[cfg(test)]
mod tests {
    use awaitly_core::journal::{Contents, Kind, Payload, Status};
    use awaitly_core::store::{Ending, Rewrite};

    use super::*;

    fn lease() -> Lease {
        Lease::new(RunId::new("order-42").unwrap(), 1, 1)
    }

    fn write(change: Change) -> Write {
        Write { lease: lease(), change }
    }

    #[test]
    fn records_must_be_durable_and_leases_need_not() {
        let outcome = Outcome::from_parts(Kind::Value, Payload::from_stored("1"));
        let record = Record { key: "a".into(), outcome, input: None };
        assert!(write(Change::Append(record.clone(), Durability::Sync)).must_be_durable());
        assert!(!write(Change::Append(record, Durability::Batched)).must_be_durable());
        let rewrite = Rewrite::new(1, Contents::default(), []);
        assert!(write(Change::Rewrite(Box::new(rewrite))).must_be_durable());
        assert!(write(Change::Finish(Box::new(Ending::new(Status::Waiting)))).must_be_durable());
        assert!(!Renew { lease: lease(), ttl: Duration::ZERO }.must_be_durable());
        assert!(!Release(lease()).must_be_durable());
    }
}

//! The operations that the thread which writes is asked for.

use std::time::Duration;

use awaitly_core::journal::{Header, Key, Outcome, Payload, Record, Refused, Settling, Timestamp};
use awaitly_core::store::{
    Answer, Answered, Cancelled, Cancelling, DeleteIf, Due, DueQuery, Durability, Ending, Imported, Lease,
    Open, Renewed, Rewrite, RunId, StoreError, StoredRun, Wait,
};
use tokio::sync::oneshot;

use crate::group::{Queued, Sender};

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Op {
    Open {
        request: Box<Open>,
        fate: Fate<Admitted<Unclaimed>>,
        back: Sender<Self>,
    },
    Change {
        lease: Lease,
        change: Change,
        fate: Fate<()>,
    },
    Settle {
        lease: Lease,
        record: Record,
        settling: Settling,
        fate: Fate<Option<Outcome>>,
    },
    Renew {
        lease: Lease,
        ttl: Duration,
        fate: Fate<Renewed>,
    },
    Release(Lease),
    Answer {
        answer: Box<Answer>,
        fate: Fate<Answered>,
    },
    Cancel {
        run: RunId,
        cancelling: Cancelling,
        fate: Fate<Cancelled>,
    },
    Delete {
        runs: Vec<RunId>,
        condition: DeleteIf,
        fate: Fate<Vec<RunId>>,
    },
    Import {
        run: RunId,
        stored: Box<StoredRun>,
        fate: Fate<Imported>,
    },
    /// Asked of the thread that writes, since it alone knows which owners are alive.
    Due {
        query: DueQuery,
        fate: Fate<Vec<Due>>,
    },
    Close(Fate<()>),
}

/// Where the answer goes.
pub(super) type Fate<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the holder of a lease writes.
#[derive(Debug)]
pub(super) enum Change {
    Append(Record, Durability),
    Replace(Record, Durability),
    Wait(Wait),
    Revive(Vec<Key>),
    Rewrite(Box<Rewrite>),
    Finish(Box<Ending>),
}

/// What became of an operation, to be told once its commit is.
#[derive(Debug)]
pub(super) enum Done {
    Opened(Result<Admitted<Lease>, StoreError>),
    Changed(Result<(), StoreError>),
    Settled(Result<Option<Outcome>, StoreError>),
    Renewed(Result<Renewed, StoreError>),
    Answered(Result<Answered, StoreError>),
    Cancelled(Result<Cancelled, StoreError>),
    Deleted(Result<Vec<RunId>, StoreError>),
    Imported(Result<Imported, StoreError>),
    Due(Result<Vec<Due>, StoreError>),
    Nothing,
}

/// What came of asking for a run.
#[derive(Debug)]
pub(super) enum Admitted<L> {
    /// The run is theirs. The rest is as it was before.
    Held {
        lease: L,
        now: Timestamp,
        found: Found,
        header: Header,
        input: Option<Payload>,
    },
    Ended(Header),
    Refused(Refused),
}

/// What a run has beside its header.
#[derive(Debug)]
pub(super) enum Found {
    /// It has just begun.
    Nothing,
    /// It may have records and entries that wait, which are read next.
    Records,
}

/// A lease on its way to who asked for it. Where that future is dropped before the lease has arrived,
/// the lease is given back, wherever it is then.
#[derive(Debug)]
pub(super) struct Unclaimed(Option<(Lease, Sender<Op>)>);

impl Unclaimed {
    /// The lease, to be given back by who has it now.
    pub(super) fn claim(mut self) -> Option<Lease> {
        self.0.take().map(|(lease, _)| lease)
    }

    pub(super) fn slot(&self) -> Option<i64> {
        self.0.as_ref().map(|(lease, _)| lease.slot())
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some((lease, back)) = self.0.take() {
            // Where the thread has ended, so have all its leases.
            back.send(Op::Release(lease));
        }
    }
}

impl Admitted<Lease> {
    /// The answer as it travels to who asked.
    fn unclaimed(self, back: Sender<Op>) -> Admitted<Unclaimed> {
        match self {
            Self::Held { lease, now, found, header, input } => {
                Admitted::Held { lease: Unclaimed(Some((lease, back))), now, found, header, input }
            }
            Self::Ended(header) => Admitted::Ended(header),
            Self::Refused(refused) => Admitted::Refused(refused),
        }
    }
}

impl Op {
    /// Whether a crash of the system right after the answer may not undo it.
    ///
    /// Opening, renewing and releasing need to be seen by other processes, which they are once they are
    /// committed, but not to outlive the system: after its crash every owner is dead, and a run that
    /// was opened and recorded nothing begins, or is taken over, once more.
    pub(super) const fn must_be_durable(&self) -> bool {
        match self {
            Self::Change {
                change: Change::Append(_, durability) | Change::Replace(_, durability), ..
            } => {
                matches!(durability, Durability::Sync)
            }
            Self::Change { .. }
            | Self::Settle { .. }
            | Self::Answer { .. }
            | Self::Cancel { .. }
            | Self::Delete { .. }
            | Self::Import { .. } => true,
            Self::Open { .. } | Self::Renew { .. } | Self::Release(_) | Self::Due { .. } | Self::Close(_) => {
                false
            }
        }
    }

    /// Whether it may let a run become due, so that whoever listens is told.
    pub(super) const fn wakes(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Cancel { .. } | Self::Import { .. } | Self::Release(_))
            || matches!(self, Self::Change { change: Change::Revive(_) | Change::Finish(_), .. })
    }

    pub(super) fn into_closing(self) -> Option<Fate<()>> {
        match self {
            Self::Close(fate) => Some(fate),
            _ => None,
        }
    }

    /// Tells who asked. Where nobody waits any more the answer is dropped, and a lease in it is
    /// given back.
    pub(super) fn answer(self, done: Done) {
        match (self, done) {
            (Self::Open { fate, back, .. }, Done::Opened(admitted)) => {
                drop(fate.send(admitted.map(|admitted| admitted.unclaimed(back))));
            }
            (Self::Change { fate, .. }, Done::Changed(done)) => drop(fate.send(done)),
            (Self::Settle { fate, .. }, Done::Settled(done)) => drop(fate.send(done)),
            (Self::Renew { fate, .. }, Done::Renewed(done)) => drop(fate.send(done)),
            (Self::Answer { fate, .. }, Done::Answered(done)) => drop(fate.send(done)),
            (Self::Cancel { fate, .. }, Done::Cancelled(done)) => drop(fate.send(done)),
            (Self::Delete { fate, .. }, Done::Deleted(done)) => drop(fate.send(done)),
            (Self::Import { fate, .. }, Done::Imported(done)) => drop(fate.send(done)),
            (Self::Due { fate, .. }, Done::Due(done)) => drop(fate.send(done)),
            (Self::Close(fate), _) => drop(fate.send(Ok(()))),
            _ => {}
        }
    }

    /// Tells who asked that nothing was done.
    pub(super) fn fail(self, error: StoreError) {
        match self {
            Self::Open { fate, .. } => drop(fate.send(Err(error))),
            Self::Change { fate, .. } | Self::Close(fate) => drop(fate.send(Err(error))),
            Self::Settle { fate, .. } => drop(fate.send(Err(error))),
            Self::Renew { fate, .. } => drop(fate.send(Err(error))),
            Self::Answer { fate, .. } => drop(fate.send(Err(error))),
            Self::Cancel { fate, .. } => drop(fate.send(Err(error))),
            Self::Delete { fate, .. } => drop(fate.send(Err(error))),
            Self::Import { fate, .. } => drop(fate.send(Err(error))),
            Self::Due { fate, .. } => drop(fate.send(Err(error))),
            Self::Release(_) => {}
        }
    }
}

impl Queued for Op {
    fn bytes(&self) -> usize {
        let size = |record: &Record| record.key.len() + record.outcome.payload().len();
        match self {
            Self::Open { request, .. } => request.input.as_ref().map_or(0, |input| input.payload.len()),
            Self::Change { change, .. } => match change {
                Change::Append(record, _) | Change::Replace(record, _) => size(record),
                Change::Wait(wait) => wait.request.len(),
                Change::Rewrite(rewrite) => rewrite.contents.records.iter().map(size).sum(),
                Change::Finish(ending) => {
                    ending.outcome.as_ref().map_or(0, |outcome| outcome.payload().len())
                }
                Change::Revive(_) => 0,
            },
            Self::Answer { answer, .. } => answer.outcome.payload().len(),
            Self::Import { stored, .. } => stored.records.iter().map(size).sum(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use awaitly_core::journal::{Kind, Status};

    use super::*;
    use crate::group::queue;

    fn lease() -> Lease {
        Lease::new(RunId::new("order-42").unwrap(), 1, 1)
    }

    fn change(change: Change) -> Op {
        Op::Change { lease: lease(), change, fate: oneshot::channel().0 }
    }

    #[test]
    fn a_lease_that_did_not_arrive_is_given_back_and_one_that_did_is_not() {
        let (back, mut queue) = queue(1);
        drop(Unclaimed(Some((lease(), back.clone()))));
        assert_eq!(Unclaimed(Some((lease(), back))).claim(), Some(lease()));
        let mut ops = Vec::new();
        assert!(queue.blocking_take(&mut ops));
        assert!(matches!(ops.as_slice(), [Op::Release(released)] if *released == lease()));
        assert!(!queue.blocking_take(&mut ops));
    }

    #[test]
    fn what_a_body_acts_on_waits_for_the_disk_and_a_lease_does_not() {
        let outcome = Outcome::from_parts(Kind::Value, Payload::from_stored("1"));
        let record = Record { key: "a".into(), outcome, input: None };
        assert!(change(Change::Append(record.clone(), Durability::Sync)).must_be_durable());
        assert!(!change(Change::Append(record, Durability::Batched)).must_be_durable());
        let rewrite = Rewrite::new(1, awaitly_core::journal::Contents::default(), []);
        assert!(change(Change::Rewrite(Box::new(rewrite))).must_be_durable());
        assert!(change(Change::Finish(Box::new(Ending::new(Status::Waiting)))).must_be_durable());
        let fate = oneshot::channel().0;
        assert!(!Op::Renew { lease: lease(), ttl: Duration::ZERO, fate }.must_be_durable());
        assert!(!Op::Release(lease()).must_be_durable());
    }
}

use std::time::Duration;

use awaitly_core::journal::{Header, Key, Payload, Record, Refused};
use awaitly_core::store::{Ending, Lease, Open, StoreError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Op {
    Open { request: Box<Open>, answer: Answer<Admitted<Unclaimed>>, back: UnboundedSender<Self> },
    Change { lease: Lease, change: Change, answer: Answer<()> },
    Release(Lease),
    Close(Answer<()>),
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the holder of a lease writes.
#[derive(Debug)]
pub(super) enum Change {
    Append(Record),
    Replace(Record),
    Revive(Vec<Key>),
    Rewrite { version: u32, records: Vec<Record> },
    Finish(Box<Ending>),
    Renew(Duration),
}

/// What came of asking for a run.
#[derive(Debug)]
pub(super) enum Admitted<L> {
    /// The run is theirs. Its header and input are those from before.
    Held {
        lease: L,
        found: Found,
        header: Header,
        input: Option<Payload>,
    },
    Ended(Header),
    Refused(Refused),
}

/// Whether a run has records to read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    /// It has just begun.
    Nothing,
    /// It may have some.
    Records,
}

impl Admitted<Lease> {
    /// The answer as it travels to who asked.
    pub(super) fn unclaimed(self, back: UnboundedSender<Op>) -> Admitted<Unclaimed> {
        match self {
            Self::Held { lease, found, header, input } => {
                Admitted::Held { lease: Unclaimed(Some((lease, back))), found, header, input }
            }
            Self::Ended(header) => Admitted::Ended(header),
            Self::Refused(refused) => Admitted::Refused(refused),
        }
    }
}

/// A lease on its way to who asked for it. Where that future is dropped before the lease has arrived,
/// the lease is given back, wherever it is then.
#[derive(Debug)]
pub(super) struct Unclaimed(Option<(Lease, UnboundedSender<Op>)>);

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
            // Where the writer has ended, so have all its leases.
            drop(back.send(Op::Release(lease)));
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
            Self::Change { change, .. } => !matches!(change, Change::Renew(_)),
            Self::Open { .. } | Self::Release(_) | Self::Close(_) => false,
        }
    }

    pub(super) fn into_closing(self) -> Option<Answer<()>> {
        match self {
            Self::Close(answer) => Some(answer),
            _ => None,
        }
    }

    /// Whether it was let into the queue by a permit. A release never waits.
    pub(super) const fn has_permit(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Change { .. })
    }
}

#[cfg(test)]
mod tests {
    use awaitly_core::journal::{Kind, Outcome, Status};
    use awaitly_core::store::RunId;

    use super::*;

    fn lease() -> Lease {
        Lease::new(RunId::new("order-42").unwrap(), 1, 1)
    }

    fn change(change: Change) -> Op {
        Op::Change { lease: lease(), change, answer: oneshot::channel().0 }
    }

    #[test]
    fn a_lease_that_did_not_arrive_is_given_back_and_one_that_did_is_not() {
        let (back, mut queue) = tokio::sync::mpsc::unbounded_channel();
        drop(Unclaimed(Some((lease(), back.clone()))));
        assert!(matches!(queue.try_recv(), Ok(Op::Release(released)) if released == lease()));
        assert_eq!(Unclaimed(Some((lease(), back))).claim(), Some(lease()));
        assert!(queue.try_recv().is_err());
    }

    #[test]
    fn what_a_body_acts_on_waits_for_the_disk_and_a_lease_does_not() {
        let outcome = Outcome::from_parts(Kind::Value, Payload::from_stored("1"));
        let ending = Ending { status: Status::Waiting, outcome: None, error: None, failed_on: vec![] };
        assert!(change(Change::Append(Record { key: "a".into(), outcome, input: None })).must_be_durable());
        assert!(change(Change::Rewrite { version: 1, records: vec![] }).must_be_durable());
        assert!(change(Change::Finish(Box::new(ending))).must_be_durable());
        assert!(!change(Change::Renew(Duration::ZERO)).must_be_durable());
        assert!(!Op::Release(lease()).must_be_durable());
    }
}

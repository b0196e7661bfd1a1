//! The operations of the writer thread, from the queue to their answers.

use awaitly_core::store::{Answer, Lease, StoreError};
use tokio::sync::oneshot;

use super::apply::Batch;
use super::dispatch::{
    Claiming, Configuration, Moved, PausedQueues, PausedRuns, Publishing, Receiving, Schedules, Sending,
    Submission,
};
use super::error::Failure;
use super::requests::{Admit, Cancel, Delete, Import, Now, Release, Renew, Request, Search, Settle, Write};
use crate::group::{Queued, Sender};
use crate::unclaimed::Back;

/// The channel for the answer.
pub(super) type Fate<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request, its caller, and its answer, which is held back until the commit.
#[derive(Debug)]
pub(super) struct Asked<R: Request> {
    pub(super) request: R,
    /// `None` if no caller waits.
    fate: Option<Fate<R::Answer>>,
    answer: Option<Result<R::Answer, StoreError>>,
}

impl<R: Request> Asked<R> {
    pub(super) const fn new(request: R, fate: Option<Fate<R::Answer>>) -> Self {
        Self { request, fate, answer: None }
    }

    /// Carries the request out inside a transaction and keeps the answer. A refusal is an answer too; any other error ends
    /// the transaction.
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        if R::NEEDS_CALLER && self.fate.as_ref().is_some_and(Fate::is_closed) {
            self.answer = None;
            return Ok(());
        }
        self.answer = Some(match self.request.apply(batch) {
            Ok(answer) => Ok(answer),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Sqlite(error)) => return Err(error),
        });
        Ok(())
    }

    /// Sends the answer to the caller. If the caller is gone, the answer is dropped, which releases a lease in it.
    fn answer(&mut self) {
        if let (Some(fate), Some(answer)) = (self.fate.take(), self.answer.take()) {
            drop(fate.send(answer.map(|answer| self.request.committed(answer))));
        }
    }

    /// Sends an error to the caller; the request had no effect.
    fn fail(&mut self, error: StoreError) {
        if let Some(fate) = self.fate.take() {
            drop(fate.send(Err(error)));
        }
    }
}

/// Declares the operations, with a variant for each request.
macro_rules! operations {
    ($($name:ident($request:ty),)*) => {
        /// An operation in the queue.
        #[derive(Debug)]
        pub(super) enum Op {
            $($name(Asked<$request>),)*
        }

        $(impl From<Asked<$request>> for Op {
            fn from(asked: Asked<$request>) -> Self {
                Self::$name(asked)
            }
        })*

        impl Op {
            pub(super) fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
                match self { $(Self::$name(asked) => asked.apply(batch),)* }
            }

            pub(super) fn answer(&mut self) {
                match self { $(Self::$name(asked) => asked.answer(),)* }
            }

            pub(super) fn fail(&mut self, error: StoreError) {
                match self { $(Self::$name(asked) => asked.fail(error),)* }
            }

            pub(super) const fn leases(&self) -> bool {
                match self { $(Self::$name(_) => <$request>::LEASES,)* }
            }

            pub(super) fn must_be_durable(&self) -> bool {
                match self { $(Self::$name(asked) => asked.request.must_be_durable(),)* }
            }

            pub(super) fn wakes(&self) -> bool {
                match self { $(Self::$name(asked) => asked.request.wakes(),)* }
            }
        }

        impl Queued for Op {
            fn bytes(&self) -> usize {
                match self { $(Self::$name(asked) => asked.request.bytes(),)* }
            }
        }
    };
}

operations! {
    Admit(Admit),
    Write(Write),
    Settle(Settle),
    Renew(Renew),
    Release(Release),
    Answer(Box<Answer>),
    Cancel(Cancel),
    Delete(Delete),
    Import(Import),
    Search(Search),
    Now(Now),
    Submission(Submission),
    Claiming(Claiming),
    Configuration(Configuration),
    PausedQueues(PausedQueues),
    PausedRuns(PausedRuns),
    Moved(Moved),
    Sending(Sending),
    Receiving(Receiving),
    Publishing(Publishing),
    Schedules(Schedules),
}

impl Back for Sender<Op> {
    fn release(&self, lease: Lease) {
        // If the thread has ended, all its leases have ended too.
        self.send(Asked::new(Release(lease), None).into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use awaitly_core::journal::{Header, Status, Timestamp};
    use awaitly_core::store::{Open, Owner, RunId};

    use super::super::open::{Admitted, Taken};
    use super::*;
    use crate::group::queue;
    use crate::unclaimed::Unclaimed;

    fn lease() -> Lease {
        Lease::new(RunId::new("order-42").unwrap(), 1, 1)
    }

    #[test]
    fn undelivered_lease_is_given_back_after_commit() {
        let (back, mut queue) = queue::<Op>(1);
        let admit = Admit {
            request: Box::new(Open::new(RunId::new("order-42").unwrap(), "checkout", Owner::unique())),
            back: Arc::new(back),
        };
        let held = || {
            let header = Header::new("checkout".into(), 1, Status::Running, Timestamp::default());
            let taken = Taken { lease: Unclaimed::new(lease()), header, input: None, found: None };
            Box::new(Admitted::Held(taken, Timestamp::default()))
        };
        let claimed = match *admit.committed(held()) {
            Admitted::Held(taken, _) => taken.lease.claim(),
            other => panic!("{other:?}"),
        };
        assert_eq!(claimed, lease());
        drop(held());
        drop(admit.committed(held()));
        drop(admit);
        let mut ops = Vec::new();
        assert!(queue.blocking_take(&mut ops));
        assert!(matches!(ops.as_slice(), [Op::Release(release)] if release.request.0 == lease()), "{ops:?}");
        assert!(!queue.blocking_take(&mut ops));
    }
}

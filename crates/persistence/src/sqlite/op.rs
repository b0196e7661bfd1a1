//! The operations of the thread that writes, from the queue to their answers.

use std::ops::{Deref, DerefMut};

use awaitly_core::store::{Answer, DueQuery, StoreError};
use tokio::sync::oneshot;

use super::apply::Batch;
use super::error::Failure;
use super::requests::{Admit, Cancel, Delete, Import, Release, Renew, Settle, Write};
use crate::group::Queued;

/// Where the answer goes.
pub(super) type Fate<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request to the thread that writes.
pub(super) trait Request: Send + 'static {
    /// The answer, which the caller gets once the request is committed.
    type Answer: Send;

    /// Whether it gives a lease or prolongs one.
    const LEASES: bool = false;

    /// Whether it is left out if its caller has gone.
    const NEEDS_CALLER: bool = false;

    /// Carries the request out inside a transaction.
    fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure>;

    /// Turns the answer into the form in which it travels to the caller. The transaction is committed.
    fn committed(&self, answer: Self::Answer) -> Self::Answer {
        answer
    }

    /// Whether a crash of the system right after the answer must not undo it.
    fn must_be_durable(&self) -> bool {
        true
    }

    /// Whether it may let a run become due.
    fn wakes(&self) -> bool {
        false
    }

    /// How many bytes of values it holds.
    fn bytes(&self) -> usize {
        0
    }
}

/// A request, its caller, and its answer, which waits for the commit.
#[derive(Debug)]
pub(super) struct Asked<R: Request> {
    pub(super) request: R,
    /// `None`: no caller waits.
    fate: Option<Fate<R::Answer>>,
    answer: Option<Result<R::Answer, StoreError>>,
}

impl<R: Request> Asked<R> {
    pub(super) const fn new(request: R, fate: Option<Fate<R::Answer>>) -> Self {
        Self { request, fate, answer: None }
    }
}

/// An operation, whatever its answer is.
pub(super) trait Work {
    /// Carries it out inside a transaction and keeps the answer. A refusal is an answer too; any other error ends the
    /// transaction.
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()>;

    /// Gives the caller the answer. If the caller has gone, the answer is dropped, and with it a lease is given back.
    fn answer(&mut self);

    /// Gives the caller an error: nothing was done.
    fn fail(&mut self, error: StoreError);

    fn leases(&self) -> bool;
    fn must_be_durable(&self) -> bool;
    fn wakes(&self) -> bool;
    fn bytes(&self) -> usize;
}

impl<R: Request> Work for Asked<R> {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        self.answer = match self.fate.as_ref().is_some_and(Fate::is_closed) {
            true if R::NEEDS_CALLER => None,
            _ => Some(refusal_is_an_answer(self.request.apply(batch))?),
        };
        Ok(())
    }

    fn answer(&mut self) {
        if let (Some(fate), Some(answer)) = (self.fate.take(), self.answer.take()) {
            drop(fate.send(answer.map(|answer| self.request.committed(answer))));
        }
    }

    fn fail(&mut self, error: StoreError) {
        if let Some(fate) = self.fate.take() {
            drop(fate.send(Err(error)));
        }
    }

    fn leases(&self) -> bool {
        R::LEASES
    }

    fn must_be_durable(&self) -> bool {
        self.request.must_be_durable()
    }

    fn wakes(&self) -> bool {
        self.request.wakes()
    }

    fn bytes(&self) -> usize {
        self.request.bytes()
    }
}

fn refusal_is_an_answer<T>(result: Result<T, Failure>) -> rusqlite::Result<Result<T, StoreError>> {
    match result {
        Ok(answer) => Ok(Ok(answer)),
        Err(Failure::Refused(error)) => Ok(Err(error)),
        Err(Failure::Sqlite(error)) => Err(error),
    }
}

/// Declares the operations: a variant for each request.
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

        impl Deref for Op {
            type Target = dyn Work + Send;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$name(asked) => asked,)*
                }
            }
        }

        impl DerefMut for Op {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self {
                    $(Self::$name(asked) => asked,)*
                }
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
    Due(DueQuery),
}

impl Queued for Op {
    fn bytes(&self) -> usize {
        (**self).bytes()
    }
}

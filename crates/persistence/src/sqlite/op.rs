//! The operations of the writer thread, from the queue to their answers.

use std::ops::{Deref, DerefMut};

use awaitly_core::store::{Answer, DueQuery, StoreError};
use tokio::sync::oneshot;

use super::apply::Batch;
use super::error::Failure;
use super::requests::{Admit, Cancel, Delete, Import, Release, Renew, Settle, Write};
use crate::group::Queued;

/// The channel for the answer.
pub(super) type Fate<T> = oneshot::Sender<Result<T, StoreError>>;

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
}

/// An operation with any type of answer.
pub(super) trait Work {
    /// Carries out the operation inside a transaction and keeps the answer. A refusal is an answer too; any other error
    /// ends the transaction.
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()>;

    /// Sends the answer to the caller. If the caller is gone, the answer is dropped, which releases a lease in it.
    fn answer(&mut self);

    /// Sends an error to the caller; the operation had no effect.
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

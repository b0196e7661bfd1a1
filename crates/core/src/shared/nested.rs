//! The bodies and operations that this thread polls.
//!
//! A step that is built in the operation of another recorded step has its key within the key of the outer step:
//! `pay/charge`, or `pay@2/charge` in the second attempt. If the journal holds the outer step, its operation is not
//! called, and the inner steps are not built. If inner steps took their keys from the names of all other steps, this
//! would shift the keys of later steps.
//!
//! This module also answers a second question: why did an operation fail? The library cannot look into the caller's
//! error type, so it cannot distinguish `Declined` from an error that wraps
//! [`RunError::Waiting`](crate::RunError::Waiting). Each step that waits therefore leaves a note in the operation that
//! polls it, and the outer step reads the note if its operation fails. A run that is called in the body of another run
//! leaves its note there in the same way.
//!
//! A thread holds a stack of the futures that it polls. An entry is pushed before a poll and popped after it, so the
//! depth of the stack is the depth of nested bodies and operations, and the stack is empty between polls.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::journal::Key;

thread_local! {
    static POLLED: RefCell<Vec<Polled>> = const { RefCell::new(Vec::new()) };
    /// The execution that may use only its recorded steps.
    static ONLY_RECORDED: Cell<Option<ExecutionId>> = const { Cell::new(None) };
}

/// The identity of one execution of a run on the threads that poll it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExecutionId(usize);

/// A body or an operation during a poll.
struct Polled {
    execution: ExecutionId,
    /// The recorded step of the operation. `None` if this is the body of a run.
    operation: Option<Operation>,
    noted: Noted,
}

struct Operation {
    key: Key,
    attempt: u32,
    /// Whether neither a cancellation nor the run's deadline ends the operation.
    shielded: bool,
}

/// The pauses inside a body or an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// The last waiting step of this run.
    pub(crate) wait: Option<Key>,
    /// The end of a call of another run without a result.
    pub(crate) other: Option<OtherRun>,
}

/// The end of a call of another run that has no result to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherRun {
    /// The other run waits, is executed elsewhere, or its store failed. The caller has to call it again.
    Paused,
    /// The other run was cancelled.
    Cancelled,
}

impl Noted {
    /// Adds the pauses of a later poll.
    pub(crate) fn add(&mut self, later: Self) {
        self.wait = later.wait.or_else(|| self.wait.take());
        self.other = later.other.or(self.other);
    }
}

/// Pops the entry at the end of the poll, even after a panic.
#[derive(Debug)]
pub(crate) struct Entered(());

impl Entered {
    /// Ends the poll and returns the pauses noted during it.
    pub(crate) fn leave(self) -> Noted {
        // The entry is popped here, so the drop of `self` must not pop another one.
        std::mem::forget(self);
        POLLED.with_borrow_mut(Vec::pop).map(|polled| polled.noted).unwrap_or_default()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        POLLED.with_borrow_mut(Vec::pop);
    }
}

impl ExecutionId {
    /// Returns an identity that is unique in this process.
    pub(super) fn unique() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Marks this thread as polling the operation of the recorded step `key`.
    pub(crate) fn enter(self, key: &Key, attempt: u32, shielded: bool) -> Entered {
        self.push(Some(Operation { key: key.clone(), attempt, shielded }))
    }

    /// Marks this thread as polling the body.
    pub(crate) fn enter_body(self) -> Entered {
        self.push(None)
    }

    fn push(self, operation: Option<Operation>) -> Entered {
        let polled = Polled { execution: self, operation, noted: Noted::default() };
        POLLED.with_borrow_mut(|stack| stack.push(polled));
        Entered(())
    }

    /// Notes in the innermost body or operation of the execution on this thread that `step` waits. Returns `false` if
    /// there is no such body or operation, for example in a task that the body spawned.
    pub(super) fn note_wait(self, step: &Key) -> bool {
        POLLED.with_borrow_mut(|stack| {
            let polled = stack.iter_mut().rev().find(|polled| polled.execution == self);
            polled.map(|polled| polled.noted.wait = Some(step.clone())).is_some()
        })
    }

    /// Clears the notes of other runs in the body, because a step of the run failed later.
    pub(super) fn forget_other_runs(self) {
        POLLED.with_borrow_mut(|stack| {
            let is_body = |polled: &&mut Polled| polled.execution == self && polled.operation.is_none();
            if let Some(body) = stack.iter_mut().rev().find(is_body) {
                body.noted.other = None;
            }
        });
    }

    /// Returns `key` within the key of the operation that builds it.
    pub(super) fn within(self, key: &Key) -> Key {
        let within = self.operation(|operation| key.within(&operation.key, operation.attempt));
        within.unwrap_or_else(|| key.clone())
    }

    /// Returns whether a step that is built here belongs to an operation that no limit ends.
    pub(crate) fn is_shielded(self) -> bool {
        self.operation(|operation| operation.shielded).unwrap_or(false)
    }

    /// Returns the key and the attempt of the recorded step whose operation is polled here.
    pub(crate) fn builder(self) -> Option<(Key, u32)> {
        self.operation(Operation::place)
    }

    /// Calls `ask` with the innermost operation, if it belongs to this execution. Skips the bodies of other runs.
    fn operation<T>(self, ask: impl FnOnce(&Operation) -> T) -> Option<T> {
        POLLED.with_borrow(|stack| {
            let is_asked = |polled: &&Polled| polled.execution == self || polled.operation.is_some();
            let innermost = stack.iter().rev().find(is_asked)?;
            innermost.operation.as_ref().filter(|_| innermost.execution == self).map(ask)
        })
    }

    /// Returns whether only recorded steps may run here.
    pub(crate) fn is_only_recorded(self) -> bool {
        ONLY_RECORDED.get() == Some(self)
    }
}

/// Notes the end of a call of another run in the innermost body or operation of this thread.
pub(crate) fn note_other_run(other: OtherRun) {
    POLLED.with_borrow_mut(|stack| {
        if let Some(polled) = stack.last_mut() {
            polled.noted.other = Some(other);
        }
    });
}

/// Returns the key and the attempt of the recorded step whose operation this thread polls, for any run.
pub(crate) fn current() -> Option<(Key, u32)> {
    POLLED.with_borrow(|stack| {
        stack.iter().rev().find_map(|polled| polled.operation.as_ref()).map(Operation::place)
    })
}

impl Operation {
    fn place(&self) -> (Key, u32) {
        (self.key.clone(), self.attempt)
    }
}

pin_project! {
    /// A future in which recorded steps return their outcomes, and every other step ends in
    /// [`RunError::Cancelled`](crate::RunError::Cancelled).
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct OnlyRecorded<Fut> {
        #[pin]
        inner: Fut,
        execution: Option<ExecutionId>,
    }
}

impl<Fut> OnlyRecorded<Fut> {
    pub(crate) const fn new(execution: Option<ExecutionId>, inner: Fut) -> Self {
        Self { inner, execution }
    }
}

impl<Fut: Future> Future for OnlyRecorded<Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _before = Before(ONLY_RECORDED.replace(*this.execution));
        this.inner.poll(cx)
    }
}

/// Restores the earlier value, even after a panic of the future.
struct Before(Option<ExecutionId>);

impl Drop for Before {
    fn drop(&mut self) {
        ONLY_RECORDED.set(self.0);
    }
}

//! The body or operation that is polled on this thread.
//!
//! A step that is built inside of the operation of another recorded step has its key within the key of that step:
//! `pay/charge`, or `pay@2/charge` in the second attempt. If the outer step is found in the journal, its operation is
//! not called, and the inner steps are not built. If inner steps took their keys from the same names as all other
//! steps, the keys of later steps would shift.
//!
//! The same place answers a second question: why did an operation fail? The library cannot look into the caller's
//! error type, so it cannot tell `Declined` from an error that wraps [`RunError::Waiting`](crate::RunError::Waiting).
//! Therefore each step that waits notes that in the operation that polls it, and the outer step reads the note when
//! its operation fails. A run that is called inside of another run's body leaves its note there in the same way.
//!
//! A thread holds a stack of what it polls. An entry is pushed before a poll and popped after it, so the stack is as
//! deep as bodies and operations are nested, and empty between polls.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::journal::Key;

thread_local! {
    static POLLED: RefCell<Vec<Polled>> = const { RefCell::new(Vec::new()) };
    /// The execution of which only recorded steps may be used.
    static ONLY_RECORDED: Cell<Option<ExecutionId>> = const { Cell::new(None) };
}

/// The identity of one execution of a run on the threads that poll it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExecutionId(usize);

/// A body or an operation, for as long as it is polled.
struct Polled {
    execution: ExecutionId,
    /// The recorded step whose operation it is. `None`: it is the body of a run.
    operation: Option<Operation>,
    noted: Noted,
}

struct Operation {
    key: Key,
    attempt: u32,
    /// Whether cancellation and the run's deadline leave the operation alone.
    shielded: bool,
}

/// The pauses that came up inside of a body or an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// The last step of the same run that waits.
    pub(crate) wait: Option<Key>,
    /// A call of another run ended without a result.
    pub(crate) other: Option<OtherRun>,
}

/// How a call of another run ended that has no result to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherRun {
    /// It waits, is executed elsewhere, or its store failed: it has to be called again.
    Paused,
    /// It was cancelled.
    Cancelled,
}

impl Noted {
    /// Adds what came up in a later poll.
    pub(crate) fn add(&mut self, later: Self) {
        self.wait = later.wait.or_else(|| self.wait.take());
        self.other = later.other.or(self.other);
    }
}

/// Pops the entry when the poll ends, also if it panics.
#[derive(Debug)]
pub(crate) struct Entered(());

impl Entered {
    /// Ends the poll and returns what was noted during it.
    pub(crate) fn leave(self) -> Noted {
        // The entry is popped here, and not once more when `self` is dropped.
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
    /// Returns an identity that no other execution of this process has.
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

    /// Notes, in the innermost body or operation of the execution on this thread, that `step` waits. Returns whether there
    /// is one: a task that the body spawned has none.
    pub(super) fn note_wait(self, step: &Key) -> bool {
        POLLED.with_borrow_mut(|stack| {
            let polled = stack.iter_mut().rev().find(|polled| polled.execution == self);
            polled.map(|polled| polled.noted.wait = Some(step.clone())).is_some()
        })
    }

    /// Forgets what other runs left in the body, because a step of the run failed after that.
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

    /// Returns whether a step that is built here belongs to an operation that nothing ends.
    pub(crate) fn is_shielded(self) -> bool {
        self.operation(|operation| operation.shielded).unwrap_or(false)
    }

    /// Returns the key and the attempt of the recorded step whose operation is polled here.
    pub(crate) fn builder(self) -> Option<(Key, u32)> {
        self.operation(Operation::place)
    }

    /// Asks the innermost operation, if it is one of this execution. The bodies of other runs are looked through.
    fn operation<T>(self, ask: impl FnOnce(&Operation) -> T) -> Option<T> {
        POLLED.with_borrow(|stack| {
            let is_asked = |polled: &&Polled| polled.execution == self || polled.operation.is_some();
            let innermost = stack.iter().rev().find(is_asked)?;
            innermost.operation.as_ref().filter(|_| innermost.execution == self).map(ask)
        })
    }

    /// Returns whether only recorded steps may be used here.
    pub(crate) fn is_only_recorded(self) -> bool {
        ONLY_RECORDED.get() == Some(self)
    }
}

/// Notes, in whatever this thread polls, how a call of another run ended.
pub(crate) fn note_other_run(other: OtherRun) {
    POLLED.with_borrow_mut(|stack| {
        if let Some(polled) = stack.last_mut() {
            polled.noted.other = Some(other);
        }
    });
}

/// Returns the key and the attempt of the recorded step whose operation is polled on this thread, of whatever run.
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
    /// A future in which the run's recorded steps are found as usual, and no other step runs: it ends in
    /// [`RunError::Cancelled`](crate::RunError::Cancelled).
    #[must_use = "futures do nothing unless polled"]
    pub struct OnlyRecorded<Fut> {
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

/// Restores the value from before, also if the future panics.
struct Before(Option<ExecutionId>);

impl Drop for Before {
    fn drop(&mut self) {
        ONLY_RECORDED.set(self.0);
    }
}

impl<Fut> std::fmt::Debug for OnlyRecorded<Fut> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnlyRecorded").finish_non_exhaustive()
    }
}

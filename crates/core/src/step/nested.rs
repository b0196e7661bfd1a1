//! Steps that are built inside of the operation of another recorded step.
//!
//! When the outer step is found in the journal its operation is not called, and the steps inside of it are
//! not built. Were their keys taken from the same names as all others, those of later steps would shift.
//! So a step that is built while an operation is polled has its key within that of the operation's step:
//! `pay/charge`, and `pay@2/charge` in the second attempt at `pay`.
//!
//! Which operation is being polled is known by the thread for as long as the poll lasts. So is whether a body is
//! polled only to find out what it has done: [`OnlyRecorded`].

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::journal::Key;
use crate::run::Shared;

thread_local! {
    static INSIDE: RefCell<Option<Inside>> = const { RefCell::new(None) };
    /// The run of which only recorded steps may be used.
    static ONLY_RECORDED: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Inside {
    /// The run, by where it is; it outlives the poll.
    run: usize,
    key: Key,
    attempt: u32,
    /// Whether neither a cancellation nor a deadline of the run ends it.
    shielded: bool,
}

/// Puts back what was before, also where the operation panics.
pub(super) struct Entered(Option<Inside>);

/// Everything that is built on this thread is built by the operation of the step with this key, until
/// the answer is dropped.
pub(super) fn enter(run: &Shared, key: &Key, attempt: u32, shielded: bool) -> Entered {
    let inside = Inside { run: address(run), key: key.clone(), attempt, shielded };
    Entered(INSIDE.replace(Some(inside)))
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = INSIDE.replace(self.0.take());
    }
}

/// `key`, within that of the operation that builds it.
pub(crate) fn within(run: &Shared, key: &Key) -> Key {
    INSIDE.with_borrow(|inside| match inside {
        Some(inside) if inside.run == address(run) => inside.scope(key),
        _ => key.clone(),
    })
}

/// Whether what is built here is built by an operation that nothing ends.
pub(super) fn is_shielded(run: &Shared) -> bool {
    INSIDE.with_borrow(|inside| {
        inside.as_ref().is_some_and(|inside| inside.run == address(run) && inside.shielded)
    })
}

/// The operation that builds what is built here, if one does: its step's key within the run, and the attempt.
pub(crate) fn builder(run: &Shared) -> Option<(Key, u32)> {
    INSIDE.with_borrow(|inside| {
        let inside = inside.as_ref().filter(|inside| inside.run == address(run))?;
        Some((inside.key.clone(), inside.attempt))
    })
}

/// The operation that is polled on this thread, of whatever run.
pub(super) fn current() -> Option<(Key, u32)> {
    INSIDE.with_borrow(|inside| inside.as_ref().map(|inside| (inside.key.clone(), inside.attempt)))
}

impl Inside {
    fn scope(&self, key: &Key) -> Key {
        match self.attempt {
            1 => Key::from(format!("{}/{key}", self.key)),
            attempt => Key::from(format!("{}@{attempt}/{key}", self.key)),
        }
    }
}

pin_project! {
    /// A future in which the run's recorded steps are found as ever, and no other one runs: it ends in
    /// [`RunError::Cancelled`](crate::RunError::Cancelled).
    #[must_use = "futures do nothing unless polled"]
    pub struct OnlyRecorded<Fut> {
        #[pin]
        inner: Fut,
        run: Option<usize>,
    }
}

impl<Fut> OnlyRecorded<Fut> {
    pub(crate) fn new(run: Option<&Shared>, inner: Fut) -> Self {
        Self { inner, run: run.map(address) }
    }
}

impl<Fut: Future> Future for OnlyRecorded<Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _before = Before(ONLY_RECORDED.replace(*this.run));
        this.inner.poll(cx)
    }
}

/// Puts back what was before, also where the future panics.
struct Before(Option<usize>);

impl Drop for Before {
    fn drop(&mut self) {
        ONLY_RECORDED.set(self.0);
    }
}

/// Whether only recorded steps of `run` may be used here.
pub(crate) fn is_only_recorded(run: &Shared) -> bool {
    ONLY_RECORDED.get() == Some(address(run))
}

impl<Fut> std::fmt::Debug for OnlyRecorded<Fut> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnlyRecorded").finish_non_exhaustive()
    }
}

fn address(run: &Shared) -> usize {
    std::ptr::from_ref(run).addr()
}

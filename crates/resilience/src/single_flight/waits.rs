//! A graph of the flights that wait for each other, so that no operation waits for itself.
//!
//! An operation that asks for a key waits for the flight of that key. If that flight waits for the operation in turn,
//! neither ever ends. So each operation is polled with its flight noted on the thread, which works wherever the
//! operation moves between two polls, and each request from inside an operation adds an arrow from the operation's
//! flight to the requested one. A request that would close a circle of arrows is refused, whether the circle is one
//! operation that asks for its own key, or runs through the operations of other callers.
//!
//! A request from outside all operations waits for a flight, but no flight waits for it: it adds no arrow and takes no
//! lock.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use pin_project_lite::pin_project;

use super::OwnKey;
use crate::sync::thread_local;

/// The identity of a flight among all flights of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u64);

/// The flights that each flight waits for. The lock is not one of the model checker's, because no thread switches under
/// it.
static ARROWS: Mutex<BTreeMap<Id, Vec<Id>>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// The flight whose operation is being polled on this thread: the innermost one.
    static INSIDE: Cell<Option<Id>> = const { Cell::new(None) };
}

impl Id {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes that the operation being polled on this thread, if any, waits for this flight. Dropping the returned arrow
    /// ends the note.
    ///
    /// # Errors
    /// Returns [`OwnKey`] if this flight waits for that operation.
    pub(super) fn is_asked_for(self) -> Result<Option<Arrow>, OwnKey> {
        let Some(from) = INSIDE.with(Cell::get) else { return Ok(None) };
        let mut arrows = ARROWS.lock();
        if is_reached(&arrows, self, from) {
            return Err(OwnKey);
        }
        arrows.entry(from).or_default().push(self);
        Ok(Some(Arrow { from, to: self }))
    }
}

/// Returns whether `to` is `from`, or a flight that `from` waits for, directly or through others.
fn is_reached(arrows: &BTreeMap<Id, Vec<Id>>, from: Id, to: Id) -> bool {
    let (mut seen, mut next) = (vec![from], 0);
    while let Some(&id) = seen.get(next) {
        if id == to {
            return true;
        }
        next += 1;
        for id in arrows.get(&id).into_iter().flatten() {
            if !seen.contains(id) {
                seen.push(*id);
            }
        }
    }
    false
}

/// A note that one flight waits for another. Dropping it ends the note.
#[derive(Debug)]
pub(super) struct Arrow {
    from: Id,
    to: Id,
}

impl Drop for Arrow {
    fn drop(&mut self) {
        let mut arrows = ARROWS.lock();
        let Some(waits_for) = arrows.get_mut(&self.from) else { return };
        // Equal arrows stay, because the operation may request one key twice at once.
        if let Some(at) = waits_for.iter().position(|to| *to == self.to) {
            waits_for.swap_remove(at);
        }
        if waits_for.is_empty() {
            arrows.remove(&self.from);
        }
    }
}

pin_project! {
    /// The operation of a flight.
    pub(super) struct Operation<Fut> {
        flight: Id,
        #[pin]
        inner: Fut,
    }
}

impl<Fut> Operation<Fut> {
    pub(super) const fn new(flight: Id, inner: Fut) -> Self {
        Self { flight, inner }
    }
}

impl<Fut: Future> Future for Operation<Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _before = Before(INSIDE.with(|inside| inside.replace(Some(*this.flight))));
        this.inner.poll(cx)
    }
}

/// Restores the previous flight, even if the operation panics.
struct Before(Option<Id>);

impl Drop for Before {
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(self.0));
    }
}

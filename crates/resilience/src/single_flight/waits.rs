//! Which flight waits for which, so that no operation waits for itself.
//!
//! An operation that asks for a key waits for the flight of that key. If that flight waits for the operation in turn,
//! neither ever ends. So each operation is polled with its flight noted on the thread, which holds wherever the
//! operation moves between two polls, and each request from inside of an operation adds an arrow from the operation's
//! flight to the one it asks for. A request that would close a circle of arrows is refused, whether the circle is one
//! operation that asks for its own key, or runs through the operations of other callers.
//!
//! A request from outside of all operations waits for a flight, but no flight waits for it: it adds no arrow and takes
//! no lock.

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

/// A flight, among all flights of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u64);

/// The flights that each flight waits for. No lock of the models: nothing under it is a turn of a thread.
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

    /// Notes that the operation which is being polled here, if one is, waits for this flight, until the answer is
    /// dropped.
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

/// Whether `to` is `from`, or a flight that `from` waits for.
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

/// One flight waits for another for as long as this is kept.
#[derive(Debug)]
pub(super) struct Arrow {
    from: Id,
    to: Id,
}

impl Drop for Arrow {
    fn drop(&mut self) {
        let mut arrows = ARROWS.lock();
        let Some(waits_for) = arrows.get_mut(&self.from) else { return };
        // Others that are equal stay: the operation may ask for the same key twice at the same time.
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

/// Puts back what was before, also if the operation panics.
struct Before(Option<Id>);

impl Drop for Before {
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(self.0));
    }
}

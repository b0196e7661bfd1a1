use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use awaitly_core::guard::{Admission, Pass};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::{Full, Options, Stats};
use crate::name::Name;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The maximum number of slots. While the limit grows, returned slots may count twice for a moment.
const MOST: usize = Semaphore::MAX_PERMITS / 2;

/// Slots, and the queue for them.
#[derive(Debug)]
pub struct Slots {
    name: Name,
    /// The free slots, which callers get in the order of their requests.
    free: Semaphore,
    /// The limit, which [`resize`](Self::resize) changes.
    limit: AtomicUsize,
    /// The number of slots to remove as soon as calls return them.
    surplus: AtomicUsize,
    waiting: AtomicUsize,
    max_waiting: usize,
    turned_away: Notify,
}

pub(super) type Wait<'a, H> = Pin<Box<dyn Future<Output = Result<Slot<H>, Full>> + Send + 'a>>;

impl Slots {
    pub(super) fn new(options: &Options) -> Self {
        let Options { name, slots, max_waiting } = options;
        let slots = (*slots).min(MOST);
        Self {
            name: name.clone(),
            free: Semaphore::new(slots),
            limit: AtomicUsize::new(slots),
            surplus: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            max_waiting: *max_waiting,
            turned_away: Notify::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    pub(crate) fn try_take<H: Deref<Target = Self>>(slots: H) -> Result<Slot<H>, H> {
        let taken = slots.free.try_acquire().map(SemaphorePermit::forget).is_ok();
        if taken { Ok(Slot(slots)) } else { Err(slots) }
    }

    #[inline]
    pub(crate) fn enter<'a, H>(slots: H) -> Admission<Slot<H>, Full, Wait<'a, H>>
    where
        H: Deref<Target = Self> + Send + Sync + 'a,
    {
        match Self::try_take(slots) {
            Ok(slot) => Admission::Admitted(slot),
            Err(slots) if slots.max_waiting == 0 => Admission::Refused(slots.full()),
            Err(slots) => Admission::Wait(Box::pin(Self::wait(slots))),
        }
    }

    async fn wait<H: Deref<Target = Self>>(slots: H) -> Result<Slot<H>, Full> {
        {
            let Some(_place) = slots.join() else { return Err(slots.full()) };
            tokio::select! {
                biased;
                () = slots.turned_away.notified() => return Err(slots.full()),
                // The semaphore is never closed.
                permit = slots.free.acquire() => if let Ok(permit) = permit { permit.forget() },
            }
        }
        Ok(Slot(slots))
    }

    /// Returns a place in the queue, unless the queue is full.
    fn join(&self) -> Option<Place<'_>> {
        let joined = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
            (waiting < self.max_waiting).then_some(waiting + 1)
        });
        joined.is_ok().then(|| Place(self))
    }

    /// Returns the refusal that a call would get now, if any.
    pub(super) fn refusal(&self) -> Option<Full> {
        let is_full =
            self.free.available_permits() == 0 && self.waiting.load(Ordering::Acquire) >= self.max_waiting;
        is_full.then(|| self.full())
    }

    #[cold]
    fn full(&self) -> Full {
        let Stats { running, waiting, .. } = self.stats();
        Full { name: self.name.clone(), running, waiting }
    }

    pub(crate) fn stats(&self) -> Stats {
        let limit = self.limit.load(Ordering::Acquire);
        let surplus = self.surplus.load(Ordering::Acquire);
        let running = (limit + surplus).saturating_sub(self.free.available_permits());
        Stats { running, limit, waiting: self.waiting.load(Ordering::Acquire), max_waiting: self.max_waiting }
    }

    /// Changes the number of slots. If more slots are in use than remain, the surplus is removed as calls return them.
    pub(crate) fn resize(&self, limit: usize) {
        let limit = limit.clamp(1, MOST);
        let before = self.limit.swap(limit, Ordering::AcqRel);
        if limit > before {
            self.give(limit - before);
        } else {
            self.surplus.fetch_add(before - limit, Ordering::AcqRel);
            self.settle();
        }
    }

    /// Refuses the waiting calls.
    pub(super) fn turn_away(&self) {
        self.turned_away.notify_waiters();
    }

    /// Adds slots, less the surplus.
    #[inline]
    fn give(&self, slots: usize) {
        let slots = slots - self.take_surplus(slots);
        if slots > 0 {
            self.free.add_permits(slots);
            // The limit may have shrunk since the check of the surplus.
            self.settle();
        }
    }

    /// Takes up to `most` slots from the surplus, and returns their number.
    #[inline]
    fn take_surplus(&self, most: usize) -> usize {
        if self.surplus.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let fewer = |surplus: usize| Some(surplus - surplus.min(most));
        self.surplus.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).map_or(0, |had| had.min(most))
    }

    /// Removes free slots while there is a surplus.
    #[inline]
    fn settle(&self) {
        loop {
            let surplus = self.take_surplus(usize::MAX);
            if surplus == 0 {
                return;
            }
            let left = surplus - self.free.forget_permits(surplus);
            self.surplus.fetch_add(left, Ordering::AcqRel);
            // A call may have returned a slot before the surplus was added again.
            if left == 0 || self.free.available_permits() == 0 {
                return;
            }
        }
    }
}

struct Place<'a>(&'a Slots);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        // A slot that was assigned to this place goes back without `give`.
        self.0.settle();
    }
}

/// A slot. Dropping it gives it back.
#[derive(Debug)]
pub struct Slot<H: Deref<Target = Slots>>(H);

impl<H: Deref<Target = Slots>> Drop for Slot<H> {
    fn drop(&mut self) {
        self.0.give(1);
    }
}

impl<H: Deref<Target = Slots>, E> Pass<E> for Slot<H> {}

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::{Full, Stats};
use crate::name::Name;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The maximum number of slots. While the limit grows, returned slots may count twice for a moment.
const MOST: usize = Semaphore::MAX_PERMITS / 2;

/// Slots, and the queue for them.
///
/// A slot in use is a permit that its holder has forgotten, and adds again at its end. If the limit shrinks below the
/// number of slots in use, some of these permits must not come back. They are the surplus: a returned slot reduces the
/// surplus, if there is any, and does not become free. Permits and surplus are two numbers, and no lock covers both. So
/// each change of one is followed by a check of the other ([`settle`](Self::settle)): without the check, a slot that
/// returns between the two changes would remain beyond the limit.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) name: Name,
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

impl Slots {
    pub(super) fn new(name: Name, slots: usize, max_waiting: usize) -> Self {
        let slots = slots.min(MOST);
        Self {
            name,
            free: Semaphore::new(slots),
            limit: AtomicUsize::new(slots),
            surplus: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            max_waiting,
            turned_away: Notify::new(),
        }
    }

    /// Takes a slot, if one is free.
    #[inline]
    pub(super) fn try_take(&self) -> bool {
        self.free.try_acquire().map(SemaphorePermit::forget).is_ok()
    }

    /// Takes a slot, after a wait in the queue.
    pub(super) async fn take(&self) -> Result<(), Full> {
        let Some(_place) = self.join() else { return Err(self.full()) };
        tokio::select! {
            biased;
            () = self.turned_away.notified() => return Err(self.full()),
            // The semaphore is never closed.
            permit = self.free.acquire() => if let Ok(permit) = permit { permit.forget() },
        }
        Ok(())
    }

    /// Returns whether no call may wait.
    pub(super) const fn never_queues(&self) -> bool {
        self.max_waiting == 0
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
    pub(super) fn full(&self) -> Full {
        let Stats { running, waiting, .. } = self.stats();
        Full { name: self.name.clone(), running, waiting }
    }

    pub(super) fn stats(&self) -> Stats {
        let limit = self.limit.load(Ordering::Acquire);
        let surplus = self.surplus.load(Ordering::Acquire);
        let running = (limit + surplus).saturating_sub(self.free.available_permits());
        Stats { running, limit, waiting: self.waiting.load(Ordering::Acquire), max_waiting: self.max_waiting }
    }

    /// Changes the number of slots. If more slots are in use than remain, the surplus is removed as calls return them.
    pub(super) fn resize(&self, limit: usize) {
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
    pub(super) fn give(&self, slots: usize) {
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

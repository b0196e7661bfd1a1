//! Leases that were given back, and that nobody waited for.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many leases were given back, and how many of those are known to be. Giving back does not wait, but whoever
/// did it and reads then must find it done.
#[derive(Debug, Default)]
pub(super) struct Releases {
    queued: AtomicU64,
    done: AtomicU64,
}

impl Releases {
    /// One more stands in the queue.
    pub(super) fn add(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have to be waited for; `None` where all are done.
    pub(super) fn open(&self) -> Option<u64> {
        let queued = self.queued.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed) < queued).then_some(queued)
    }

    /// What stood in the queue behind so many was carried out.
    pub(super) fn close(&self, queued: u64) {
        self.done.fetch_max(queued, Ordering::Relaxed);
    }
}

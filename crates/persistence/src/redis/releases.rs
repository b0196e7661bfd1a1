//! Releases of leases that no caller waited for.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of releases, and the number of completed releases. A release does not wait for the server, but a later
/// read of its caller must see its effect.
#[derive(Debug, Default)]
pub(super) struct Releases {
    queued: AtomicU64,
    done: AtomicU64,
}

impl Releases {
    /// Counts a release that was queued.
    pub(super) fn add(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of releases to wait for, or `None` if all are complete.
    pub(super) fn open(&self) -> Option<u64> {
        let queued = self.queued.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed) < queued).then_some(queued)
    }

    /// Marks this many releases as complete, because an operation queued after them was carried out.
    pub(super) fn close(&self, queued: u64) {
        self.done.fetch_max(queued, Ordering::Relaxed);
    }
}

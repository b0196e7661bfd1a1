//! Records that were acknowledged and may not be on the disk yet.

use std::collections::HashMap;
use std::time::Duration;

use awaitly_core::store::{Durability, Lease};
use tokio::time::Instant;

use super::calls::{Place, place};
use super::ops::Append;

/// The leases under which [`Durability::Batched`] records were written that no later commit has brought to the disk.
///
/// A server that crashes loses those records, and its journals must not go on behind the gap. Whether it was a crash
/// cannot be seen from a connection that is lost. So the leases are given back before anything else is written: the
/// runs are interrupted, and resume from what is there.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Unflushed {
    leases: HashMap<Place, (Lease, Instant)>,
    doubtful: Vec<Lease>,
}

/// After this the server has brought everything to the disk by itself: three times the longest `wal_writer_delay`, and as
/// much again.
const LONGEST: Duration = Duration::from_secs(60);

/// How many leases are kept before those are looked for that need not be.
const MANY: usize = 1024;

impl Unflushed {
    /// These were committed together.
    pub(super) fn note(&mut self, appends: &[Append]) {
        if appends.iter().any(|one| one.durability == Durability::Sync) {
            // A commit that waits for the disk brings all there that was committed before it.
            self.leases.clear();
            return;
        }
        let now = Instant::now();
        if self.leases.len() >= MANY {
            self.leases.retain(|_, (_, at)| now.duration_since(*at) < LONGEST);
        }
        self.leases.extend(appends.iter().map(|one| (place(&one.lease), (one.lease.clone(), now))));
    }

    /// The connection was lost, so the server may have crashed.
    pub(super) fn are_in_doubt(&mut self) {
        self.doubtful.extend(self.leases.drain().map(|(_, (lease, _))| lease));
    }

    /// The leases that have to be given back.
    pub(super) fn doubtful(&self) -> &[Lease] {
        &self.doubtful
    }

    pub(super) fn are_given_back(&mut self) {
        self.doubtful.clear();
    }
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use awaitly_persistence::MemoryStore;

use crate::clock::PausedClock;
use crate::harness::Harness;
use crate::script::pass;
use crate::seed;

/// One execution of a [`Simulation`](super::Simulation): its seed, and what goes by it.
///
/// Cheap to clone; clones draw from the same source.
#[derive(Debug, Clone)]
pub struct Sim {
    seed: u64,
    clock: PausedClock,
    store: MemoryStore,
    drawn: Arc<AtomicU32>,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        let store = MemoryStore::made_at(SystemTime::UNIX_EPOCH + PausedClock::MIDNIGHT);
        Self { seed, clock: PausedClock::new(), store, drawn: Arc::default() }
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The clock, by which the simulation began at midnight, 1 January 2000, UTC.
    #[must_use]
    pub const fn clock(&self) -> PausedClock {
        self.clock
    }

    /// The store in memory of this execution, which tells the same time.
    #[must_use]
    pub const fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// A source of randomness: another one at each call, and the same ones in the same order for the same seed.
    #[must_use]
    pub fn rng(&self) -> fastrand::Rng {
        seed::dice(self.seed, "sim", self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// A harness with the seed and the store of this execution, whose branches interleave by the seed.
    pub fn harness(&self) -> Harness {
        Harness::new().seed(self.seed).resting_in(self.store.clone()).interleaved()
    }

    /// Lets the others go first, as often as the seed says: put it where branches may overtake each other, and they do
    /// so in another way for another seed.
    pub async fn shuffle(&self) {
        let turns = self.rng().u32(0..8);
        pass(turns).await;
    }
}

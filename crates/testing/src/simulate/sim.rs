use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly_core::Workflow;
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
    longest: Duration,
    clock: PausedClock,
    store: MemoryStore,
    drawn: Arc<AtomicU32>,
}

impl Sim {
    pub(super) fn new(seed: u64, longest: Duration) -> Self {
        let clock = PausedClock::new();
        Self { seed, longest, clock, store: clock.store(), drawn: Arc::default() }
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

    /// A harness with the seed, the clock and the store of this execution, whose branches interleave by the seed.
    pub fn harness(&self) -> Harness {
        self.harness_of(Workflow::new("test"))
    }

    /// The same for the runs of `workflow`: see [`Harness::of`].
    ///
    /// ```
    /// use awaitly_core::clock::{Clock, days};
    /// use awaitly_core::{DurableRun, RunError, Workflow};
    /// use awaitly_testing::Simulation;
    ///
    /// Simulation::new().run(async |sim| {
    ///     let harness = sim.harness_of(Workflow::new("order").version(2));
    ///     let report = harness.run(async |run: &DurableRun| run.sleep("two days", days(2)).await).await;
    ///     assert_eq!(report.result, Ok(()));
    ///     assert_eq!(harness.clock().wall(), sim.clock().wall());
    /// });
    /// ```
    pub fn harness_of<X>(&self, workflow: Workflow<X>) -> Harness<X> {
        Harness::of(workflow)
            .seed(self.seed)
            .living_by(self.clock, self.store.clone())
            .longest(self.longest)
            .interleaved()
    }

    /// Lets the others go first, as often as the seed says: put it where branches may overtake each other, and they do
    /// so in another way for another seed.
    pub async fn shuffle(&self) {
        let turns = self.rng().u32(0..8);
        pass(turns).await;
    }
}

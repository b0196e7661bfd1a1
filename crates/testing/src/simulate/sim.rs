use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use awaitly_core::Workflow;
use awaitly_persistence::MemoryStore;

use crate::clock::PausedClock;
use crate::harness::Harness;
use crate::script::pass;
use crate::seed;

/// One execution of a [`Simulation`](super::Simulation): its seed, clock, store and random sources.
///
/// Cloning is cheap; clones draw from one shared sequence.
#[derive(Debug, Clone)]
pub struct Sim {
    seed: u64,
    time_limit: Duration,
    clock: PausedClock,
    store: MemoryStore,
    drawn: Arc<AtomicU32>,
}

impl Sim {
    pub(super) fn new(seed: u64, time_limit: Duration) -> Self {
        let clock = PausedClock::new();
        Self { seed, time_limit, clock, store: clock.store(), drawn: Arc::default() }
    }

    /// Returns the seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the clock, which showed midnight, 1 January 2000, UTC, when the simulation began.
    #[must_use]
    pub const fn clock(&self) -> PausedClock {
        self.clock
    }

    /// Returns this execution's store in memory, whose time agrees with [`clock`](Self::clock).
    #[must_use]
    pub const fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// Returns a new source of randomness. Each call returns a different source. Executions with equal seeds get
    /// equal sources, in the order of the calls.
    ///
    /// ```
    /// use awaitly_testing::Simulation;
    ///
    /// let rolls = || Simulation::new().seed(7).run(async |sim| (sim.rng().u32(1..7), sim.rng().u32(1..7)));
    /// assert_eq!(rolls(), rolls());
    /// ```
    #[must_use]
    pub fn rng(&self) -> fastrand::Rng {
        seed::dice(self.seed, "sim", self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates a harness with this execution's seed, clock and store. Its branches interleave according to the seed.
    ///
    /// ```
    /// use awaitly_core::RunError;
    /// use awaitly_testing::Simulation;
    ///
    /// Simulation::new().seeds(0..3).run(async |sim| {
    ///     let report = sim.harness().run(async |_| Ok::<_, RunError>(7)).await;
    ///     assert_eq!(report.seed(), sim.seed());
    /// });
    /// ```
    pub fn harness(&self) -> Harness {
        self.harness_of(Workflow::new("test"))
    }

    /// Creates a harness for the runs of `workflow`, with this execution's seed, clock and store: see
    /// [`Harness::of`].
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
            .time_limit(self.time_limit)
            .interleaved()
    }

    /// Yields to other tasks a number of times drawn from the seed. Call it at points at which concurrent tasks may
    /// overtake each other, so that different seeds can produce different orders.
    pub async fn shuffle(&self) {
        let turns = self.rng().u32(0..8);
        pass(turns).await;
    }
}

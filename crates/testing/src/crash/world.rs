use std::fmt;
use std::sync::Arc;

use awaitly_core::Workflow;
use awaitly_core::clock::days;
use awaitly_core::extend::stage::on_stage;
use awaitly_core::store::Store;
use awaitly_persistence::MemoryStore;

use super::ledger::Ledger;
use super::process::{Process, StandStill};
use super::store::CrashStore;
use crate::PausedClock;

/// So that a long sleep is not full of renewals.
const LEASE: std::time::Duration = days(1);

/// What a process of a crash test has: a store that stays when it dies, a ledger of what happens outside, a clock.
///
/// Everything that the code under test touches has to come from here, and nothing may outlive the call that it was given
/// to: that is what a crash does.
pub struct World<S = MemoryStore> {
    process: Arc<Process<S>>,
    clock: PausedClock,
    seed: u64,
}

impl<S: Store> World<S> {
    pub(super) const fn new(process: Arc<Process<S>>, clock: PausedClock, seed: u64) -> Self {
        Self { process, clock, seed }
    }

    /// The workflow with the store, the clock and the seed of this test and a lease of a day, and watched by it: so the
    /// process can die at each lookup, attempt and event too.
    #[must_use]
    pub fn workflow<X>(&self, definition: Workflow<X>) -> Workflow<X> {
        let watcher = self.process.watcher.clone();
        let workflow = definition
            .store(self.store())
            .clock(self.clock)
            .lease(LEASE)
            .seed(self.seed)
            .observe(watcher.clone());
        on_stage(workflow, Arc::new(watcher))
    }

    /// The store, for what is not a workflow: an inbox, an operator.
    ///
    /// A workflow that is given it without [`workflow`](Self::workflow) lives by its own clock and its own lease, can die at
    /// the calls of the store only, and renews its lease all through a long sleep, which makes a case slow.
    #[must_use]
    pub fn store(&self) -> CrashStore<S> {
        CrashStore { process: Arc::clone(&self.process) }
    }

    /// What happens outside, for the services that the test fakes.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.process.watcher.clone())
    }

    /// The clock that the runs live by. It goes on from process to process.
    #[must_use]
    pub const fn clock(&self) -> PausedClock {
        self.clock
    }

    /// What fixes all that is random.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Waits for something of the real world, such as SQL of your own on a [shared store](super::CrashTest::shared_store),
    /// while paused time stands still: otherwise it would leap, and timeouts pass, before the answer is there.
    pub async fn still<Fut: Future>(&self, real: Fut) -> Fut::Output {
        let _still = StandStill::begin();
        real.await
    }

    /// Which of the runs at once this is, from 1; 0 where there is one only. Run ids and idempotency keys need not tell
    /// them apart: they are those of this run alone.
    #[must_use]
    pub fn number(&self) -> usize {
        self.process.watcher.number
    }
}

impl<S> fmt::Debug for World<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).finish_non_exhaustive()
    }
}

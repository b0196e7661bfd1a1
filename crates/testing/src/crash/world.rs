use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::Workflow;
use awaitly_core::clock::{days, mins};
use awaitly_core::extend::stage::on_stage;
use awaitly_core::store::{Dispatch, Store};
use awaitly_engine::{Client, Worker};
use awaitly_persistence::MemoryStore;

use super::engine::Engine;
use super::ledger::Ledger;
use super::process::{Process, StandStill};
use super::store::CrashStore;
use super::watcher::Watcher;
use crate::PausedClock;

/// One day, so that a long sleep does not cause many renewals.
const LEASE: std::time::Duration = days(1);

/// Longer than an execution, which leaves the worker if it sleeps. Short enough that a worker does not have to wait for
/// long if the answer to a claim is lost.
const WORKER_LEASE: std::time::Duration = mins(2);

/// More than the processes of a case.
const MANY_CRASHES: u32 = 1000;

/// The environment of a process in a crash test: a store that survives the process, a ledger of outside effects, and
/// a clock.
///
/// The code under test must get all of its state from the world, and must not keep state in memory beyond the call of
/// the closure: a real crash would lose it.
///
/// ```
/// use awaitly_core::{RunError, Workflow, step};
/// use awaitly_testing::crash::{World, crash_everywhere};
///
/// async fn order(world: World) -> Result<u32, RunError> {
///     let ledger = world.ledger();
///     let ship = async |key: String| {
///         ledger.note_once(&key, "a parcel");
///         Ok::<_, RunError>(1)
///     };
///     let workflow = world.workflow(Workflow::new("order"));
///     workflow.run("order-42", async |run| Ok(step!(run, "ship", ship(run.idempotency_key("ship"))))).await
/// }
/// # awaitly_testing::simulate(async || crash_everywhere(order).await.assert_same_outcome());
/// ```
pub struct World<S = MemoryStore> {
    process: Arc<Process<S>>,
    clock: PausedClock,
    seed: u64,
}

impl<S: Store> World<S> {
    pub(super) const fn new(process: Arc<Process<S>>, clock: PausedClock, seed: u64) -> Self {
        Self { process, clock, seed }
    }

    /// Prepares a workflow for the test. The workflow gets the store, clock and seed of this world, and a lease of one
    /// day. The test observes each lookup, attempt and event of the workflow, so the process can die at these too.
    #[must_use]
    pub fn workflow<X>(&self, definition: Workflow<X>) -> Workflow<X> {
        let watched = watched(&self.process.watcher, self.clock, self.seed, definition);
        watched.store(self.store()).lease(LEASE)
    }

    /// Creates a worker on the store of this world. Each workflow that it serves gets the clock, the seed and the
    /// observers of [`workflow`](Self::workflow), and a lease of two minutes.
    ///
    /// On a [shared store](super::CrashTest::shared_store), a sleep keeps the task of its run, however long it is: the store
    /// has a clock of its own. A death of the process ends all executions of its workers. The deaths of a test do not count as crashes of its
    /// runs, so the limit of [`Worker::max_crashes`] is far away.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_engine::Contract;
    /// use awaitly_testing::crash::{World, crash_everywhere};
    ///
    /// const ORDER: Contract<u32, u32, RunError> = Contract::new("order");
    ///
    /// # async fn charge(cents: u32) -> Result<u32, RunError> { Ok(cents) }
    /// async fn order(run: DurableRun, cents: u32) -> Result<u32, RunError> {
    ///     Ok(step!(run, "charge", charge(cents)))
    /// }
    ///
    /// async fn process(world: World) -> Result<u32, RunError> {
    ///     let worker = world.worker().serve(ORDER, order);
    ///     let started = world.client().start(ORDER, "order-42", &4200).await;
    ///     let order = started.map_err(|_| RunError::Cancelled { step: None })?;
    ///     let mut result = Ok(0);
    ///     worker.run_until(async { result = order.result().await }).await?;
    ///     result
    /// }
    /// # awaitly_testing::simulate(async || crash_everywhere(process).await.assert_same_outcome());
    /// ```
    pub fn worker(&self) -> Worker<CrashStore<S>>
    where
        S: Dispatch,
    {
        self.process.engine.get_or_init(Engine::new);
        let (watcher, clock, seed) = (self.process.watcher.clone(), self.clock, self.seed);
        // A store with a clock of its own would take a parked run for due at once.
        let park_after = self.process.real.then_some(Duration::MAX);
        let settings = move |workflow: Workflow| {
            let workflow = watched(&watcher, clock, seed, workflow).lease(WORKER_LEASE);
            park_after.into_iter().fold(workflow, Workflow::park_after)
        };
        Worker::new(self.store()).max_crashes(MANY_CRASHES).settings(settings)
    }

    /// Creates a client of the store of this world.
    ///
    /// If an operator [cancels](super::Accident::Cancel) the runs of the process, these are the runs that its clients
    /// and schedules started. Their children are cancelled by their parents.
    #[must_use]
    pub fn client(&self) -> Client<CrashStore<S>>
    where
        S: Dispatch,
    {
        self.process.engine.get_or_init(Engine::new);
        Client::new(self.store())
    }

    /// Returns the store, for code that is not a workflow, such as an inbox or an operator.
    ///
    /// Prepare workflows with [`workflow`](Self::workflow) instead. A workflow that gets this store without that method
    /// keeps its own clock and lease time. Its process can then die only at calls of the store. A long sleep makes a
    /// case slow, because the run renews its short lease many times.
    #[must_use]
    pub fn store(&self) -> CrashStore<S> {
        CrashStore { process: Arc::clone(&self.process) }
    }

    /// Returns the ledger in which the test's fake services note their effects.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.process.watcher.clone())
    }

    /// Returns the clock of the runs. If a process dies, the next process continues with this clock and its time.
    #[must_use]
    pub const fn clock(&self) -> PausedClock {
        self.clock
    }

    /// Returns the seed of the case.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Waits for a real-time operation while paused time stands still, for example for SQL of the test on a [shared
    /// store](super::CrashTest::shared_store). Otherwise paused time would jump ahead, and timeouts would pass before
    /// the answer arrives.
    pub async fn still<Fut: Future>(&self, real: Fut) -> Fut::Output {
        let _still = StandStill::begin();
        real.await
    }

    /// Returns the number of this run among the concurrent ones, from 1, or 0 if there is only one. Run ids and
    /// idempotency keys may repeat between the runs, because each run has a separate scope.
    #[must_use]
    pub fn number(&self) -> usize {
        self.process.watcher.number
    }
}

/// Returns the workflow with the clock, the seed and the observers of a process.
fn watched<X>(watcher: &Watcher, clock: PausedClock, seed: u64, workflow: Workflow<X>) -> Workflow<X> {
    on_stage(workflow.clock(clock).seed(seed).observe(watcher.clone()), Arc::new(watcher.clone()))
}

impl<S> fmt::Debug for World<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).finish_non_exhaustive()
    }
}

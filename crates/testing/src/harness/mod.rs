mod run;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::clock::days;
use awaitly_core::event::Observer;
use awaitly_core::journal::Key;
use awaitly_core::store::{AnyStore, Store};
use awaitly_core::{Durable, Workflow};
use awaitly_persistence::MemoryStore;
use serde::Serialize;

use crate::clock::{PausedClock, assert_paused};
use crate::script::{Interleaving, Outcome, Playbook, Script};
use crate::seed;
use crate::watched::TIME_LIMIT;

/// Executes runs of a workflow with scripted step outcomes and returns a [`Report`](crate::Report) for each.
///
/// The runs use a [`PausedClock`] and a store in memory that the harness keeps. A second call of [`run`](Self::run)
/// therefore resumes the run, or returns its recorded result if the run has ended.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`script`](Self::script), [`in_order`](Self::in_order) | none |
/// | [`scripted_only`](Self::scripted_only) | off: an attempt without a script calls the operation |
/// | [`optional_steps`](Self::optional_steps) | none |
/// | [`allow_unused_scripts`](Self::allow_unused_scripts) | off: unused scripts fail the test |
/// | [`seed`](Self::seed) | `AWAITLY_SEED` if set, otherwise 0 |
/// | [`interleaved`](Self::interleaved) | off: branches continue in the order in which they are polled |
/// | [`run_id`](Self::run_id) | `test` |
/// | [`store`](Self::store) | a store in memory that follows [the harness's clock](Self::clock), which starts at midnight, 1 January 2000 |
/// | [`lease`](Self::lease) | ten years, so that a long sleep does not cause many renewals |
/// | [`time_limit`](Self::time_limit) | 400 days; in a [`Sim`](crate::Sim) the limit of the simulation |
///
/// # Examples
/// ```
/// use awaitly_core::{RunError, clock::days, step};
/// use awaitly_testing::{Harness, ok};
///
/// # async fn remind() -> Result<u32, RunError> { unreachable!() }
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let report = Harness::new()
///     .script("remind", ok(1_u32))
///     .run(async |run| {
///         run.sleep("a month", days(30)).await?;
///         Ok::<_, RunError>(step!(run, remind()))
///     })
///     .await;
/// assert_eq!(report.trace(), "
/// 30d  a month  slept
/// 30d  remind   succeeded
/// 30d  the run completed
/// ".trim_start_matches('\n'));
/// # });
/// ```
#[must_use = "call `run` on it"]
pub struct Harness<X = Durable> {
    workflow: Workflow<X>,
    playbook: Arc<Mutex<Playbook>>,
    allows_unused: bool,
    seed: u64,
    interleaving: Interleaving,
    run: Arc<str>,
    clock: PausedClock,
    time_limit: Duration,
    memory: MemoryStore,
    /// `None` selects the store in memory.
    store: Option<AnyStore>,
}

impl Harness {
    /// Creates a harness for a workflow named `test` with default settings.
    ///
    /// # Panics
    /// Panics if tokio's time is not paused, or if `AWAITLY_SEED` is not a number.
    #[track_caller]
    pub fn new() -> Self {
        Self::of(Workflow::new("test"))
    }
}

impl Default for Harness {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<X> Harness<X> {
    /// Creates a harness for the runs of `workflow`. Its version, migrations, hooks, observers and deadline apply;
    /// the harness replaces its clock, seed, store and lease.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, clock::secs};
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// let report = simulate(async || {
    ///     let workflow = Workflow::new("report").deadline(secs(10));
    ///     Harness::of(workflow).run(async |run| run.sleep("nap", secs(60)).await).await
    /// });
    /// assert!(matches!(report.result, Err(RunError::Timeout { .. })));
    /// ```
    ///
    /// # Panics
    /// Panics if tokio's time is not paused, or if `AWAITLY_SEED` is not a number.
    #[track_caller]
    pub fn of(workflow: Workflow<X>) -> Self {
        assert_paused();
        let clock = PausedClock::new();
        Self {
            workflow: workflow.lease(days(3650)),
            playbook: Arc::default(),
            allows_unused: false,
            seed: seed::given().unwrap_or_default(),
            interleaving: Interleaving::AsPolled,
            run: "test".into(),
            clock,
            time_limit: TIME_LIMIT,
            memory: clock.store(),
            store: None,
        }
    }

    /// Sets the outcomes of the attempts at a step, by name or key. The script replaces an earlier script for this
    /// name or key. A script for a key has precedence over a script for a name.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::{Harness, ok, simulate};
    ///
    /// # async fn weigh() -> Result<u32, RunError> { unreachable!() }
    /// let parcel = async |run: &DurableRun| {
    ///     let tea = step!(run, "weigh", key = "weigh:tea", weigh());
    ///     let milk = step!(run, "weigh", key = "weigh:milk", weigh());
    ///     Ok::<_, RunError>((tea, milk))
    /// };
    /// let report = simulate(async || {
    ///     Harness::new().script("weigh", ok(500_u32)).script("weigh:milk", ok(1000_u32)).run(parcel).await
    /// });
    /// assert_eq!(report.result, Ok((500, 1000)));
    /// ```
    pub fn script(self, name_or_key: impl Into<Key>, script: impl Into<Script>) -> Self {
        self.playbook().script(name_or_key.into(), script.into());
        self
    }

    /// Adds outcomes for attempts at any step that has no script, or whose script is used up. Each such attempt takes
    /// the next outcome. A step that waits for an external answer has no attempts, so its answer needs a
    /// [script](Self::script).
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::{Harness, ok, simulate};
    ///
    /// # async fn price() -> Result<u32, RunError> { unreachable!() }
    /// let total = async |run: &DurableRun| Ok::<_, RunError>(step!(run, "tea", price()) + step!(run, "cup", price()));
    /// let report = simulate(async || Harness::new().in_order([ok(4_u32), ok(9_u32)]).run(total).await);
    /// assert_eq!(report.result, Ok(13));
    /// ```
    pub fn in_order(self, outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        self.playbook().in_order(outcomes);
        self
    }

    /// Declares steps, by name or key, that the body builds only in some runs.
    /// [`assert_not_called`](crate::Report::assert_not_called) then accepts their names and still rejects misspelt
    /// ones.
    ///
    /// # Default
    /// None. A step needs no declaration if it has a script or if an earlier run of this harness built it.
    pub fn optional_steps<N: Into<Key>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.playbook().declare(names.into_iter().map(Into::into));
        self
    }

    /// Refuses attempts without a script, so that no real operation is called by accident: the library stops the run,
    /// and the test fails.
    ///
    /// # Default
    /// An attempt without a script calls the operation.
    ///
    /// ```should_panic
    /// use awaitly_core::{RunError, step};
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// # async fn charge() -> Result<u32, RunError> { unreachable!("a real charge") }
    /// let report = simulate(async || {
    ///     let harness = Harness::new().scripted_only();
    ///     harness.run(async |run| Ok::<_, RunError>(step!(run, "charge", charge()))).await
    /// });
    /// # drop(report);
    /// ```
    pub fn scripted_only(self) -> Self {
        self.playbook().scripted_only = true;
        self
    }

    /// Lets a run leave scripted outcomes unused. Without this option, the harness fails the test, unless the run waits
    /// or was interrupted and may use them later.
    ///
    /// ```
    /// use awaitly_core::RunError;
    /// use awaitly_testing::{Harness, ok, simulate};
    ///
    /// let report = simulate(async || {
    ///     let harness = Harness::new().script("charge", ok(7_u32)).allow_unused_scripts();
    ///     harness.run(async |_| Ok::<_, RunError>(())).await
    /// });
    /// assert_eq!(report.calls("charge"), 0);
    /// ```
    pub const fn allow_unused_scripts(mut self) -> Self {
        self.allows_unused = true;
        self
    }

    /// Sets the seed, which overrides the environment. It determines retry jitter and the order of
    /// [`interleaved`](Self::interleaved) branches.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes each attempt yield a number of times drawn from the seed, so the branches of a run interleave
    /// differently for each seed.
    ///
    /// ```
    /// use awaitly_core::{RunError, parallel};
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// # async fn number() -> Result<u32, RunError> { Ok(1) }
    /// let trace = |seed| simulate(async || {
    ///     let both = async |run: &awaitly_core::DurableRun| {
    ///         parallel!(run, "both", { a: number(), b: number() });
    ///         Ok::<_, RunError>(())
    ///     };
    ///     Harness::new().seed(seed).interleaved().run(both).await.trace()
    /// });
    /// assert_eq!(trace(7), trace(7));
    /// assert!((0..100).any(|seed| trace(seed) != trace(7)));
    /// ```
    pub const fn interleaved(mut self) -> Self {
        self.interleaving = Interleaving::BySeed;
        self
    }

    /// Sets the input of the run.
    ///
    /// ```
    /// use awaitly_core::DurableRun;
    /// use awaitly_testing::{Harness, simulate};
    ///
    /// let report = simulate(async || {
    ///     Harness::new().input(&vec!["tea", "milk"]).run(async |run: &DurableRun| run.input::<Vec<String>>()).await
    /// });
    /// assert_eq!(report.result.unwrap().len(), 2);
    /// ```
    pub fn input<I: Serialize + ?Sized>(mut self, input: &I) -> Self {
        self.workflow = self.workflow.input(input);
        self
    }

    /// Sets the run id.
    pub fn run_id(mut self, run: impl Into<Arc<str>>) -> Self {
        self.run = run.into();
        self
    }

    /// Keeps the runs in `store`. If the store has a clock of its own, it should follow the harness's clock;
    /// otherwise expiry times in the store disagree with the run. Create a [`MemoryStore`] with the harness's
    /// [`clock`](Self::clock).
    ///
    /// ```
    /// use awaitly_testing::Harness;
    /// use awaitly_testing::fault::FaultyStore;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let harness = Harness::new();
    /// let store = FaultyStore::new(harness.clock().store());
    /// let harness = harness.store(store.clone());
    /// # drop(harness);
    /// # });
    /// ```
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(AnyStore::new(store));
        self
    }

    /// Sets the duration of the runs' leases. If an execution stops without releasing its lease, the lease expires
    /// after this time, and another execution can resume the run.
    pub fn lease(mut self, ttl: Duration) -> Self {
        self.workflow = self.workflow.lease(ttl);
        self
    }

    /// Sets the limit of virtual time for each execution of a run. If the execution has not ended by then, it is
    /// stuck, and the harness panics. The end of a [`PausedClock::advance`](crate::PausedClock::advance) or of another
    /// harness run restarts the limit. If the harness is used in a [`Simulation`](crate::Simulation), the
    /// [limit of the simulation](crate::Simulation::time_limit) applies as well.
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Adds an observer that receives every event of the runs.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.workflow = self.workflow.observe(observer);
        self
    }

    /// Returns the store in memory that holds the runs unless another store was set. An inbox, for example, needs it.
    #[must_use]
    pub const fn memory(&self) -> &MemoryStore {
        &self.memory
    }

    /// Returns the clock of the runs.
    #[must_use]
    pub const fn clock(&self) -> PausedClock {
        self.clock
    }

    pub(crate) fn living_by(mut self, clock: PausedClock, memory: MemoryStore) -> Self {
        (self.clock, self.memory) = (clock, memory);
        self
    }

    /// Rewinds all scripts, and discards the runs: the harness gets a new store, and a new clock that starts again at
    /// midnight, 1 January 2000.
    ///
    /// If a store was [set](Self::store), the harness keeps this store with its runs. It also keeps the clock, because
    /// the store may follow the clock.
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::{Harness, ok, simulate};
    ///
    /// # async fn charge() -> Result<u32, RunError> { unreachable!() }
    /// let order = async |run: &DurableRun| Ok::<_, RunError>(step!(run, "charge", charge()));
    /// simulate(async || {
    ///     let mut harness = Harness::new().script("charge", [ok(7_u32)]);
    ///     harness.run(order).await.assert_called("charge");
    ///     harness.reset();
    ///     harness.run(order).await.assert_called("charge");
    /// });
    /// ```
    pub fn reset(&mut self) {
        self.playbook().rewind();
        if self.store.is_none() {
            self.clock = PausedClock::new();
            self.memory = self.clock.store();
        }
    }

    fn playbook(&self) -> MutexGuard<'_, Playbook> {
        self.playbook.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<X> fmt::Debug for Harness<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, seed, run, .. } = self;
        f.debug_struct("Harness")
            .field("workflow", workflow)
            .field("run", run)
            .field("seed", seed)
            .finish_non_exhaustive()
    }
}

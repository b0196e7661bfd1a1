mod run;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::clock::days;
use awaitly_core::event::Observer;
use awaitly_core::journal::Key;
use awaitly_core::store::{AnyStore, Store};
use awaitly_core::{Typed, Workflow};
use awaitly_persistence::MemoryStore;
use serde::Serialize;

use crate::clock::{PausedClock, assert_paused};
use crate::script::{Interleaving, Leftovers, Outcome, Playbook, Script, Unscripted};
use crate::seed;
use crate::watched::LONGEST;

/// A run whose steps end as the test says, and a report of what happened.
///
/// Its runs live by a [`PausedClock`], and rest in a store in memory that stays: a second call of [`run`](Self::run)
/// resumes, or gives what is recorded.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`script`](Self::script), [`in_order`](Self::in_order) | none |
/// | [`unscripted`](Self::unscripted) | [`Unscripted::Run`]: operations are called |
/// | [`optional_steps`](Self::optional_steps) | none |
/// | [`leftovers`](Self::leftovers) | [`Leftovers::Refuse`]: what is scripted must be asked for |
/// | [`seed`](Self::seed) | that in `AWAITLY_SEED`, or else 0 |
/// | [`interleaved`](Self::interleaved) | no: branches go on in the order in which they are polled |
/// | [`run_id`](Self::run_id) | `test` |
/// | [`store`](Self::store) | that in memory of [its clock](Self::clock), by which it is midnight, 1 January 2000 |
/// | [`lease`](Self::lease) | ten years, so that a long sleep is not full of renewals |
/// | [`longest`](Self::longest) | four hundred days; in a [`Sim`](crate::Sim) that of the simulation |
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
pub struct Harness<X = Typed> {
    workflow: Workflow<X>,
    playbook: Arc<Mutex<Playbook>>,
    leftovers: Leftovers,
    seed: u64,
    interleaving: Interleaving,
    run: Arc<str>,
    clock: PausedClock,
    longest: Duration,
    memory: MemoryStore,
    /// `None`: the one in memory.
    store: Option<AnyStore>,
}

impl Harness {
    /// A harness for a workflow of which nothing is to be said.
    ///
    /// # Panics
    /// Where tokio's time is not paused, or `AWAITLY_SEED` is no number.
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
    /// A harness for the runs of `workflow`, with its version, migrations, hooks, observers and deadline. Clock, seed,
    /// store and lease are those of the harness.
    ///
    /// # Panics
    /// Where tokio's time is not paused, or `AWAITLY_SEED` is no number.
    #[track_caller]
    pub fn of(workflow: Workflow<X>) -> Self {
        assert_paused();
        let clock = PausedClock::new();
        Self {
            workflow: workflow.lease(days(3650)),
            playbook: Arc::default(),
            leftovers: Leftovers::default(),
            seed: seed::given().unwrap_or_default(),
            interleaving: Interleaving::AsPolled,
            run: "test".into(),
            clock,
            longest: LONGEST,
            memory: clock.store(),
            store: None,
        }
    }

    /// Says what the attempts at the steps of that name end in, or at the step with that key, which goes before the
    /// name. In the place of what was said of them before.
    pub fn script(self, name_or_key: impl Into<Key>, script: impl Into<Script>) -> Self {
        self.playbook().script(name_or_key.into(), script.into());
        self
    }

    /// Says what the next attempts end in that have no script of their own, whichever steps they are at. A step that asks
    /// somebody outside has no attempts: what is answered to it is said by a script of its own only.
    pub fn in_order(self, outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        self.playbook().in_order(outcomes);
        self
    }

    /// Declares steps that the body builds only in some runs, by name or key, so that
    /// [`assert_not_called`](crate::Report::assert_not_called) can tell them from misspelt names.
    ///
    /// # Default
    /// None. Steps that have a script, or that an earlier run of this harness built, need no declaration.
    pub fn optional_steps<N: Into<Key>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.playbook().declare(names.into_iter().map(Into::into));
        self
    }

    /// What becomes of an attempt of which no script says what it ends in.
    pub fn unscripted(self, unscripted: Unscripted) -> Self {
        self.playbook().unscripted = unscripted;
        self
    }

    /// What becomes of a run that did not ask for all that was scripted.
    pub const fn leftovers(mut self, leftovers: Leftovers) -> Self {
        self.leftovers = leftovers;
        self
    }

    /// Fixes all that is left to chance, whatever the environment says: the jitter of retries, and the turns of
    /// [`interleaved`](Self::interleaved).
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets the seed decide how long each attempt lets others go first, so that the branches of a run interleave in
    /// another way for another seed.
    pub const fn interleaved(mut self) -> Self {
        self.interleaving = Interleaving::BySeed;
        self
    }

    /// The input of the run.
    pub fn input<I: Serialize + ?Sized>(mut self, input: &I) -> Self {
        self.workflow = self.workflow.input(input);
        self
    }

    /// The run id.
    pub fn run_id(mut self, run: impl Into<Arc<str>>) -> Self {
        self.run = run.into();
        self
    }

    /// Lets the runs rest in this store. One that keeps time of its own should tell that of the harness, or what expires in
    /// the store and what the run sees do not fit together: make a [`MemoryStore`] by [`clock`](Self::clock).
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

    /// How long a run stays with this process when it stops without a word.
    pub fn lease(mut self, ttl: Duration) -> Self {
        self.workflow = self.workflow.lease(ttl);
        self
    }

    /// How much time may pass in a run before it is taken for one in which nothing can happen any more. A
    /// [`Simulation`](crate::Simulation) around it has a limit of [its own](crate::Simulation::longest), which counts too.
    pub const fn longest(mut self, time: Duration) -> Self {
        self.longest = time;
        self
    }

    /// Tells `observer` what happens.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.workflow = self.workflow.observe(observer);
        self
    }

    /// The store in memory that the runs rest in, unless another one was given: for an inbox.
    #[must_use]
    pub const fn memory(&self) -> &MemoryStore {
        &self.memory
    }

    /// The clock that the runs live by.
    #[must_use]
    pub const fn clock(&self) -> PausedClock {
        self.clock
    }

    pub(crate) fn living_by(mut self, clock: PausedClock, memory: MemoryStore) -> Self {
        (self.clock, self.memory) = (clock, memory);
        self
    }

    /// Forgets the runs in memory, and begins all scripts anew: it is midnight again, by a new clock and a new store.
    ///
    /// A store that was [given](Self::store) is left as it is, and so is the clock then, since they tell the same time.
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

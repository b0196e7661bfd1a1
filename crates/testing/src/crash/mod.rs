//! Tests that kill the process at every boundary and compare the outcomes.
//!
//! ```
//! use awaitly_core::{DurableRun, RunError, Workflow, step};
//! use awaitly_testing::crash::{Ledger, crash_everywhere};
//!
//! struct Bank {
//!     ledger: Ledger,
//! }
//!
//! impl Bank {
//!     /// A fake service that recognizes a repeated call by its idempotency key.
//!     async fn charge(&self, cents: u64, key: String) -> Result<u64, RunError> {
//!         self.ledger.note_once(&key, format!("charge {cents}"));
//!         Ok(cents)
//!     }
//! }
//!
//! async fn pay(run: &DurableRun, bank: &Bank) -> Result<u64, RunError> {
//!     let first = step!(run, "first", bank.charge(100, run.idempotency_key("first")));
//!     let rest = step!(run, "rest", bank.charge(4100, run.idempotency_key("rest")));
//!     Ok(first + rest)
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! crash_everywhere(async |world| {
//!     let bank = Bank { ledger: world.ledger() };
//!     let workflow = world.workflow(Workflow::new("pay"));
//!     workflow.run("order-42", async |run| pay(run, &bank).await).await
//! })
//! .await
//! .assert_same_outcome();
//! # });
//! ```
//!
//! The closure stands for one process, from its start to its end. The test first plays the calm case: it calls the
//! closure without an accident. Then, for every boundary that the process passed in the calm case, the test plays a
//! case in which the process dies at that boundary.
//! Boundaries lie before and after each lookup, attempt, effect and write to the store, and at each event. A death
//! resembles `kill -9`: the process's future is dropped, work in flight is lost, and leases stay taken. One minute
//! later the test calls the closure again on the remaining store, until a process ends normally. It then compares the
//! result, the [`Ledger`] and the journal with those of the calm case.
//!
//! At each write there is a second kind of accident: the process lives, but the store gives no answer, either before
//! or after carrying out the write.
//!
//! At each boundary there is a third kind: an operator cancels the runs of the process. Because the outcome may then
//! differ, such a case is judged by the promises of a cancellation. Every run ends; either all of its work is done,
//! or all work that can be undone is undone; and no effect happens twice. A test marks an effect as undone with
//! [`Ledger::undo_once`]. If any case undoes an effect, no cancelled case may leave that effect behind.
//!
//! # Workers and clients
//!
//! [`World::worker`] and [`World::client`] create a worker and a client of the engine. The process then works until its
//! runs have ended:
//!
//! ```
//! use awaitly_core::{DurableRun, RunError, step};
//! use awaitly_engine::{Contract, RunExt};
//! use awaitly_testing::crash::{World, crash_everywhere};
//!
//! const ORDER: Contract<u32, u32, RunError> = Contract::new("order");
//! const PARCEL: Contract<u32, u32, RunError> = Contract::new("parcel");
//!
//! async fn order(run: DurableRun, number: u32) -> Result<u32, RunError> {
//!     Ok(step!(run.child(PARCEL, "parcel", &number)))
//! }
//!
//! async fn process(world: World) -> Result<u32, String> {
//!     let worker = world
//!         .worker()
//!         .serve(ORDER, order)
//!         .serve(PARCEL, async |_: DurableRun, number: u32| Ok(number * 10));
//!     let order = world.client().start(ORDER, "order-42", &42).await.map_err(|error| error.to_string())?;
//!     let mut result = Ok(0);
//!     worker.run_until(async { result = order.result().await }).await.map_err(|error| error.to_string())?;
//!     result.map_err(|error| error.to_string())
//! }
//!
//! # awaitly_testing::simulate(async || {
//! crash_everywhere(process).await.assert_same_outcome();
//! # });
//! ```
//!
//! Boundaries then also lie around each submission, claim, message, published value, new start of a run and change of a
//! schedule. At the end of each case, `Client::doctor` must find no run that nothing continues. A cancellation concerns the
//! runs that the clients and schedules of the process started; children are cancelled by their parents.
//!
//! # Idempotency
//!
//! The test assumes that a service recognizes a repeated call by its idempotency key, so the code under test must
//! pass one.

mod accident;
mod around;
mod boundary;
mod cancelled;
mod case;
mod compare;
mod engine;
mod everywhere;
mod finding;
mod judge;
mod ledger;
mod life;
mod notes;
mod process;
mod randomly;
mod report;
mod round;
mod scope;
mod store;
mod watcher;
mod world;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use awaitly_core::clock::{days, mins};
use awaitly_core::store::Store;
use awaitly_persistence::MemoryStore;

pub use accident::Accident;
pub use finding::{Cause, Finding};
pub use ledger::Ledger;
pub use report::CrashReport;
pub use store::CrashStore;
pub use world::World;

use crate::PausedClock;

/// Plays every crash case on stores in memory: see [the module](self) and [`CrashTest::everywhere`].
///
/// # Panics
/// Panics if tokio's time is not paused, if `AWAITLY_SEED` is not a number, or if `body` panics.
pub async fn crash_everywhere<T, E>(body: impl AsyncFn(World) -> Result<T, E>) -> CrashReport
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    CrashTest::new().everywhere(body).await
}

/// Executes `runs` concurrent runs on a store in memory, in a process that dies at random moments: see
/// [`CrashTest::randomly`].
///
/// ```
/// use awaitly_core::{RunError, Workflow, step};
/// use awaitly_testing::crash::crash_randomly;
///
/// # async fn number() -> Result<u32, RunError> { Ok(1) }
/// # awaitly_testing::simulate(async || {
/// let report = crash_randomly(7, 5, async |world| {
///     let workflow = world.workflow(Workflow::new("order"));
///     workflow.run("order-42", async |run| Ok::<_, RunError>(step!(run, number()))).await
/// });
/// report.await.assert_same_outcome();
/// # });
/// ```
///
/// # Panics
/// Panics if tokio's time is not paused, if `AWAITLY_SEED` is not a number, or if `body` panics.
pub async fn crash_randomly<T, E>(
    seed: u64,
    runs: usize,
    body: impl AsyncFn(World) -> Result<T, E>,
) -> CrashReport
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    CrashTest::new().seed(seed).runs(runs).randomly(body).await
}

/// A crash test with options.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`store`](Self::store) | a new `MemoryStore` for each case |
/// | [`max_accidents`](Self::max_accidents) | 2 |
/// | [`max_cases`](Self::max_cases) | 20 000 cases per number of accidents |
/// | [`downtime`](Self::downtime) | 1 minute |
/// | [`time_limit`](Self::time_limit) | 400 days |
/// | [`seed`](Self::seed) | `AWAITLY_SEED` if set, otherwise 0 |
/// | [`runs`](Self::runs), [`rounds`](Self::rounds) | 10 and 100 |
///
/// # Examples
/// ```
/// use awaitly_core::{RunError, Workflow, step};
/// use awaitly_testing::CrashTest;
///
/// # async fn number() -> Result<u32, RunError> { Ok(1) }
/// # awaitly_testing::simulate(async || {
/// let test = CrashTest::new().max_accidents(1).deaths_only();
/// let report = test.everywhere(async |world| {
///     let workflow = world.workflow(Workflow::new("order"));
///     workflow.run("order-42", async |run| Ok::<_, RunError>(step!(run, number()))).await
/// });
/// let report = report.await;
/// report.assert_same_outcome();
/// assert_eq!(report.cases(), 1 + report.boundaries()); // the calm case, and a death at each boundary
/// # });
/// ```
#[must_use = "call `everywhere` or `randomly` on it"]
pub struct CrashTest<S = MemoryStore> {
    supply: Supply<S>,
    options: Options,
    cases: AtomicU64,
}

/// The options that do not depend on the type of the store.
struct Options {
    max_accidents: usize,
    max_cases: usize,
    seed: u64,
    runs: usize,
    rounds: usize,
    interleaved: bool,
    no_answers: bool,
    cancellations: bool,
    values: bool,
    only: Option<Vec<Accident>>,
    downtime: Duration,
    time_limit: Duration,
}

/// The source of the stores.
enum Supply<S> {
    /// A new store in paused time for each case.
    Fresh(Box<dyn Fn() -> S>),
    /// One store in real time for all cases, with a unique prefix for this test's run ids.
    Shared(Arc<S>, String),
}

impl CrashTest {
    /// Creates a crash test on stores in memory.
    ///
    /// # Panics
    /// Panics if `AWAITLY_SEED` is not a number.
    pub fn new() -> Self {
        let options = Options {
            max_accidents: 2,
            max_cases: 20_000,
            seed: crate::seed::given().unwrap_or(0),
            runs: 10,
            rounds: 100,
            interleaved: false,
            no_answers: true,
            cancellations: true,
            values: false,
            only: None,
            downtime: mins(1),
            time_limit: days(400),
        };
        let supply = Supply::Fresh(Box::new(|| PausedClock::new().store()));
        Self { supply, options, cases: AtomicU64::new(0) }
    }
}

impl Default for CrashTest {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> CrashTest<S> {
    /// Plays each case on a new store from `make`. The store has to follow tokio's time, as `MemoryStore` does.
    ///
    /// ```
    /// use awaitly_testing::fault::{Call, Fault, FaultyStore};
    /// use awaitly_testing::{CrashTest, PausedClock};
    ///
    /// let test = CrashTest::new().store(|| {
    ///     let store = FaultyStore::new(PausedClock::new().store());
    ///     store.always(Call::Append.key("charge"), Fault::DropRecord); // the test should detect this store
    ///     store
    /// });
    /// # drop(test);
    /// ```
    pub fn store<Z: Store>(self, make: impl Fn() -> Z + 'static) -> CrashTest<Z> {
        self.on(Supply::Fresh(Box::new(make)))
    }

    /// Plays all cases on one real store, for example a PostgreSQL database, with different run ids for each case.
    ///
    /// The test does not control the clock of such a store. If a process dies, the test therefore releases the leases
    /// of that process, instead of waiting for their end. Entries that the store expires by its own clock do not expire
    /// when the paused time advances.
    pub fn shared_store<Z: Store>(self, store: Z) -> CrashTest<Z> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unique = format!("crash-{:x}-{:x}", std::process::id(), now.as_nanos());
        self.on(Supply::Shared(Arc::new(store), unique))
    }

    fn on<Z>(self, supply: Supply<Z>) -> CrashTest<Z> {
        CrashTest { supply, options: self.options, cases: self.cases }
    }

    /// Sets the maximum number of accidents in a case of [`everywhere`](Self::everywhere). With 0, the test plays only
    /// the case without an accident.
    pub const fn max_accidents(mut self, accidents: usize) -> Self {
        self.options.max_accidents = accidents;
        self
    }

    /// Sets the maximum number of cases with one accident, of cases with two accidents, and so on, in
    /// [`everywhere`](Self::everywhere). If more cases exist, the test plays an evenly spaced selection of them.
    pub const fn max_cases(mut self, cases: usize) -> Self {
        self.options.max_cases = cases;
        self
    }

    /// Sets the seed of all randomness.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Sets the time between an accident and the start of the next process. The leases of the dead process expire
    /// within this time. Other deadlines may also pass: a question may expire, a parked run may become due, or a
    /// reminder may be sent. No time passes on a [shared store](Self::shared_store).
    ///
    /// ```
    /// use awaitly_core::clock::secs;
    /// use awaitly_testing::CrashTest;
    ///
    /// // For a workflow whose question expires after ten seconds.
    /// let test = CrashTest::new().downtime(secs(1));
    /// # drop(test);
    /// ```
    pub const fn downtime(mut self, downtime: Duration) -> Self {
        self.options.downtime = downtime;
        self
    }

    /// Sets the time limit for one process, in virtual time. A process that exceeds it is reported as
    /// [`Finding::NeverEnds`].
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.options.time_limit = limit;
        self
    }

    /// Sets the number of concurrent runs in [`randomly`](Self::randomly). The number 0 counts as 1.
    pub const fn runs(mut self, runs: usize) -> Self {
        self.options.runs = if runs == 0 { 1 } else { runs };
        self
    }

    /// Sets the number of rounds that [`randomly`](Self::randomly) plays.
    pub const fn rounds(mut self, rounds: usize) -> Self {
        self.options.rounds = rounds;
        self
    }

    /// Lets concurrent tasks of a process overtake each other at attempts and at calls of the store, in an order that the
    /// seed determines. Use it for a process with several workers, with several seeds.
    ///
    /// # Default
    /// The tasks of one run continue in a fixed order, and the runs of [`randomly`](Self::randomly) overtake each other.
    pub const fn interleaved(mut self) -> Self {
        self.options.interleaved = true;
        self
    }

    /// Skips the cases in which the store gives no answer and the cases in which an operator cancels.
    pub const fn deaths_only(mut self) -> Self {
        self.options.no_answers = false;
        self.options.cancellations = false;
        self
    }

    /// Skips the cases in which an operator cancels the runs of the process.
    ///
    /// # Default
    /// These cases are played.
    pub const fn without_cancellations(mut self) -> Self {
        self.options.cancellations = false;
        self
    }

    /// Compares the recorded values too, instead of only the steps and their kinds of outcome. If a step returns a
    /// time or a random value, the comparison reports a difference.
    pub const fn compare_values(mut self) -> Self {
        self.options.values = true;
        self
    }

    /// Plays only the case with these accidents, in this order, for example to repeat a failure. The test still plays
    /// the case without an accident first, to compare the outcomes.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    /// use awaitly_testing::CrashTest;
    /// use awaitly_testing::crash::Accident;
    ///
    /// # async fn number() -> Result<u32, RunError> { Ok(1) }
    /// # awaitly_testing::simulate(async || {
    /// let test = CrashTest::new().only([Accident::Death(3), Accident::NoAnswer(5)]);
    /// let report = test.everywhere(async |world| {
    ///     let workflow = world.workflow(Workflow::new("order"));
    ///     workflow.run("order-42", async |run| Ok::<_, RunError>(step!(run, number()))).await
    /// });
    /// println!("{}", report.await);
    /// # });
    /// ```
    pub fn only(mut self, accidents: impl Into<Vec<Accident>>) -> Self {
        self.options.only = Some(accidents.into());
        self
    }

    fn next_case(&self) -> u64 {
        self.cases.fetch_add(1, Ordering::Relaxed)
    }
}

impl<S> fmt::Debug for CrashTest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashTest")
            .field("max_accidents", &self.options.max_accidents)
            .field("seed", &self.options.seed)
            .finish_non_exhaustive()
    }
}

//! Every way to die, and the same outcome after each.
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
//!     /// A service that tells a repeated call by its idempotency key.
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
//! The closure is one process, from its start to its end. It is called without an accident first. Then it is called for
//! every boundary that was passed: before and after each lookup, attempt, effect and call of the store that writes, and at
//! each event. There the process dies as one does that is killed: its future is dropped, what it had in flight is lost, its
//! leases stay. The closure is called again on the same store, a minute later, until it comes to its end.
//! Then its result, the [`Ledger`] and the journal are compared with those of the first call. At each such call
//! the process also lives on while the store gives no answer, once before anything was done and once after.
//!
//! At each boundary there is a third accident: an operator cancels what the process executes. Such a case comes to
//! another result, so it is judged by the promises of a cancellation. Each run ends; all of its work is done, or all of it
//! that can be undone is undone; and no effect happens twice. A test says that an effect is undone with
//! [`Ledger::undo_once`], and then no case may end as cancelled and leave that effect.
//!
//! What it takes for granted: services that are called twice can tell by the idempotency key, so the code under test has
//! to give one.

mod accident;
mod around;
mod boundary;
mod calm;
mod cancelled;
mod case;
mod compare;
mod everywhere;
mod finding;
mod judge;
mod ledger;
mod life;
mod notes;
mod process;
mod randomly;
mod report;
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

pub use accident::{Accident, AccidentKind};
pub use boundary::Boundary;
pub use finding::{Finding, Place};
pub use ledger::Ledger;
pub use report::{CrashReport, Failure};
pub use store::CrashStore;
pub use world::World;

use crate::PausedClock;

/// Tries every way to die, on a store in memory: see [the module](self) and [`CrashTest::everywhere`].
///
/// # Panics
/// Where tokio's time is not paused, and where `body` panics.
pub async fn crash_everywhere<T, E>(body: impl AsyncFn(World) -> Result<T, E>) -> CrashReport
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    CrashTest::new().everywhere(body).await
}

/// Executes `runs` runs at once on a store in memory, in a process that dies at random moments: see
/// [`CrashTest::randomly`].
///
/// # Panics
/// Where tokio's time is not paused, and where `body` panics.
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

/// A crash test with its options.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`store`](Self::store) | a `MemoryStore`, a new one for each case |
/// | [`accidents`](Self::accidents) | 2 |
/// | [`limit`](Self::limit) | 20 000 cases with the same number of accidents |
/// | [`downtime`](Self::downtime) | 1 minute |
/// | [`longest`](Self::longest) | 400 days |
/// | [`seed`](Self::seed) | that of the environment variable `AWAITLY_SEED`, or 0 |
/// | [`runs`](Self::runs), [`rounds`](Self::rounds) | 10 and 100 |
#[must_use = "call `everywhere` or `randomly` on it"]
pub struct CrashTest<S = MemoryStore> {
    supply: Supply<S>,
    accidents: usize,
    limit: usize,
    seed: u64,
    runs: usize,
    rounds: usize,
    no_answers: bool,
    cancellations: bool,
    values: bool,
    only: Option<Vec<Accident>>,
    downtime: Duration,
    longest: Duration,
    cases: AtomicU64,
}

/// Where the stores come from.
enum Supply<S> {
    /// A new one for each case, by paused time.
    Fresh(Box<dyn Fn() -> S>),
    /// One for all cases, by real time; and what tells this test's runs from those of others.
    Shared(Arc<S>, String),
}

impl CrashTest {
    /// A crash test on stores in memory.
    pub fn new() -> Self {
        Self {
            supply: Supply::Fresh(Box::new(|| PausedClock::new().store())),
            accidents: 2,
            limit: 20_000,
            seed: crate::seed::given().unwrap_or(0),
            runs: 10,
            rounds: 100,
            no_answers: true,
            cancellations: true,
            values: false,
            only: None,
            downtime: mins(1),
            longest: days(400),
            cases: AtomicU64::new(0),
        }
    }
}

impl Default for CrashTest {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> CrashTest<S> {
    /// Plays each case on a store of its own. It has to live by tokio's time, as `MemoryStore` does.
    pub fn store<Z: Store>(self, make: impl Fn() -> Z + 'static) -> CrashTest<Z> {
        self.on(Supply::Fresh(Box::new(make)))
    }

    /// Plays all cases on one real store, under run ids that differ from case to case. Its leases are given back when a
    /// process dies, since they run by a clock that the test does not own; and what it expires by itself, it does not
    /// expire in paused time.
    pub fn shared_store<Z: Store>(self, store: Z) -> CrashTest<Z> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unique = format!("crash-{:x}-{:x}", std::process::id(), now.as_nanos());
        self.on(Supply::Shared(Arc::new(store), unique))
    }

    fn on<Z>(self, supply: Supply<Z>) -> CrashTest<Z> {
        let Self {
            accidents,
            limit,
            seed,
            runs,
            rounds,
            no_answers,
            cancellations,
            values,
            only,
            downtime,
            longest,
            cases,
            ..
        } = self;
        CrashTest {
            supply,
            accidents,
            limit,
            seed,
            runs,
            rounds,
            no_answers,
            cancellations,
            values,
            only,
            downtime,
            longest,
            cases,
        }
    }

    /// How many accidents in a row there are at most. With 0 there is the case without one only.
    pub const fn accidents(mut self, most: usize) -> Self {
        self.accidents = most;
        self
    }

    /// How many cases with the same number of accidents are played at most: where there are more, each so many-th.
    pub const fn limit(mut self, cases: usize) -> Self {
        self.limit = cases;
        self
    }

    /// Fixes all that is random.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How long it takes after an accident until the next process begins; the leases of the one before have ended then.
    /// What comes to its time meanwhile has come: a question that expires sooner has expired, a run that was parked for
    /// less is due, a reminder is sent. On a [shared store](Self::shared_store) no time passes.
    pub const fn downtime(mut self, downtime: Duration) -> Self {
        self.downtime = downtime;
        self
    }

    /// How long a process may take to come to its end, by the clock of the test: after that it never does.
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// How many runs [`randomly`](Self::randomly) executes at once; 1 at least.
    pub const fn runs(mut self, runs: usize) -> Self {
        self.runs = if runs == 0 { 1 } else { runs };
        self
    }

    /// How many processes-that-die [`randomly`](Self::randomly) tries.
    pub const fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Leaves out the cases in which the process lives and the store does not answer, and those in which an operator
    /// cancels the runs of the process.
    pub const fn deaths_only(mut self) -> Self {
        self.no_answers = false;
        self.cancellations = false;
        self
    }

    /// Leaves out the cases in which an operator cancels the runs of the process.
    ///
    /// # Default
    /// They are played.
    pub const fn without_cancellations(mut self) -> Self {
        self.cancellations = false;
        self
    }

    /// Compares the recorded outcomes too, and not only which steps have one of which kind. A step whose value is a
    /// time, or is drawn by chance, differs then.
    pub const fn compare_values(mut self) -> Self {
        self.values = true;
        self
    }

    /// Plays this one case: that of a [`Failure`].
    pub fn only(mut self, accidents: impl Into<Vec<Accident>>) -> Self {
        self.only = Some(accidents.into());
        self
    }

    fn next_case(&self) -> u64 {
        self.cases.fetch_add(1, Ordering::Relaxed)
    }
}

impl<S> fmt::Debug for CrashTest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashTest")
            .field("accidents", &self.accidents)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

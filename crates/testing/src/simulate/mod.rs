//! Virtual time and a seed for all randomness, in a plain `#[test]`.

mod sim;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

pub use sim::Sim;

use crate::seed;
use crate::watched::{TIME_LIMIT, Watched};

/// Runs `test` on its own tokio runtime with paused time, and returns its value. If every task waits, the clock jumps
/// to the next timer.
///
/// # Panics
/// Panics if `test` panics, or if `test` is stuck: 400 days of virtual time passed and the test made no
/// [progress](Simulation::time_limit). In both cases, the function also prints the seed. Panics if `AWAITLY_SEED` is
/// not a number.
///
/// # Examples
/// ```
/// use awaitly_core::{RunError, clock::days};
/// use awaitly_testing::{Harness, simulate};
///
/// let report = simulate(async || {
///     Harness::new().run(async |run| run.sleep("a month", days(30)).await).await
/// });
/// assert_eq!(report.result, Ok(()));
/// ```
#[track_caller]
pub fn simulate<T>(test: impl AsyncFnOnce() -> T) -> T {
    let seed = seed::given().unwrap_or_default();
    telling_the_seed(seed, || in_paused_time(seed, TIME_LIMIT, test()))
}

/// A test in paused time that runs once for each of several seeds.
///
/// Each execution gets its own runtime and a [`Sim`], which provides everything that depends on the seed.
/// `fastrand`'s thread-local generator is seeded too. The random branch order of tokio's `select!` cannot be
/// controlled: write `biased;` in it.
///
/// # Examples
/// ```
/// use awaitly_core::clock::Clock;
/// use awaitly_testing::Simulation;
///
/// let order = |seed| {
///     Simulation::new().seed(seed).run(async |sim| {
///         let heard = std::sync::Mutex::new(String::new());
///         let say = async |word| {
///             sim.shuffle().await;
///             heard.lock().unwrap().push_str(word);
///         };
///         tokio::join!(say("a"), say("b"), say("c"));
///         heard.into_inner().unwrap()
///     })
/// };
/// assert_eq!(order(7), order(7));
/// assert!((0..100).any(|seed| order(seed) != order(7)));
/// ```
#[derive(Debug, Clone)]
#[must_use = "call `run` on it"]
pub struct Simulation {
    seeds: Vec<u64>,
    time_limit: Duration,
}

impl Simulation {
    /// Creates a simulation with one seed: `AWAITLY_SEED` if set, otherwise 0.
    ///
    /// # Panics
    /// Panics if `AWAITLY_SEED` is not a number.
    #[track_caller]
    pub fn new() -> Self {
        Self { seeds: vec![seed::given().unwrap_or_default()], time_limit: TIME_LIMIT }
    }

    /// Sets one seed, even if the environment variable `AWAITLY_SEED` is set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seeds = vec![seed];
        self
    }

    /// Sets several seeds. If `AWAITLY_SEED` is set, only that seed runs, so that a failure can be repeated.
    ///
    /// # Panics
    /// Panics if `AWAITLY_SEED` is not a number.
    ///
    /// # Examples
    /// ```
    /// use awaitly_testing::Simulation;
    ///
    /// let seeds = Simulation::new().seeds(0..3).run(async |sim| sim.seed());
    /// # if std::env::var_os("AWAITLY_SEED").is_none() {
    /// assert_eq!(seeds, [0, 1, 2]);
    /// # }
    /// ```
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.seeds = seed::given().map_or_else(|| seeds.into_iter().collect(), |seed| vec![seed]);
        self
    }

    /// Sets the virtual time after which the test counts as stuck. The time counts from the start of the test, and
    /// anew from the end of each [`Harness`](crate::Harness) run and of each
    /// [`PausedClock::advance`](crate::PausedClock::advance) in it.
    ///
    /// Set a longer limit if something sleeps for years. Set a shorter one if a timer ticks forever in the
    /// background: each tick costs CPU time, and a lease of thirty seconds is renewed three million times a year.
    ///
    /// # Default
    /// 400 days.
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Runs `test` once for each seed, and returns the values of `test` in the order of the seeds.
    ///
    /// # Panics
    /// Panics if `test` panics, or if it is stuck, which [`time_limit`](Self::time_limit) defines. The seed is printed
    /// before the panic continues, and the remaining seeds do not run.
    pub fn run<T>(self, test: impl AsyncFn(Sim) -> T) -> Vec<T> {
        let once = |seed| {
            telling_the_seed(seed, || {
                in_paused_time(seed, self.time_limit, async { test(Sim::new(seed, self.time_limit)).await })
            })
        };
        self.seeds.iter().map(|seed| once(*seed)).collect()
    }
}

impl Default for Simulation {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `test`, and prints the seed if it panics.
fn telling_the_seed<T>(seed: u64, test: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        seed::tell(seed);
        resume_unwind(panic)
    })
}

/// Runs `test` on a new runtime with paused time.
///
/// # Panics
/// Panics if `test` does not end or make progress within `longest` of virtual time.
fn in_paused_time<Fut: Future>(seed: u64, time_limit: Duration, test: Fut) -> Fut::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    #[expect(clippy::expect_used, reason = "a runtime without I/O needs no file descriptors and cannot fail")]
    let runtime = runtime.expect("failed to build a runtime without I/O");
    fastrand::seed(seed);
    // The timer in `Watched` must be created inside the runtime.
    runtime.block_on(async { Watched::new(test, time_limit).await })
}

//! Time that jumps and a seed for what is left to chance, for a plain `#[test]`.

mod sim;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

pub use sim::Sim;

use crate::seed;
use crate::watched::{LONGEST, Watched};

/// What `test` gives, on a tokio runtime of its own whose time is paused: when everything waits, the clock moves to the
/// next moment for which something waits, in no time.
///
/// # Panics
/// Where `test` does, after the seed is printed. Where nothing can happen any more, because everything waits and nothing
/// waits for a moment; it is taken for that when four hundred days have passed in which nothing
/// [came further](Simulation::longest).
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
    telling_the_seed(seed, || in_paused_time(seed, LONGEST, test()))
}

/// The same test in paused time, once for each of some seeds.
///
/// Each time it has a runtime of its own, and a [`Sim`] of which to have all that depends on the seed. Code that draws
/// from `fastrand`'s generator of this thread is given that seed too. What tokio's `select!` draws cannot be fixed: let
/// it be `biased`.
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
    longest: Duration,
}

impl Simulation {
    /// A simulation with one seed: that in `AWAITLY_SEED`, or else 0.
    ///
    /// # Panics
    /// Where `AWAITLY_SEED` is no number.
    #[track_caller]
    pub fn new() -> Self {
        Self { seeds: vec![seed::given().unwrap_or_default()], longest: LONGEST }
    }

    /// With this seed, whatever the environment says.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seeds = vec![seed];
        self
    }

    /// With each of these seeds, or only with that in `AWAITLY_SEED`, where it is set: to repeat one that failed.
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.seeds = seed::given().map_or_else(|| seeds.into_iter().collect(), |seed| vec![seed]);
        self
    }

    /// How much time may pass before the test is taken for one in which nothing can happen any more: since it began, a run
    /// of a [`Harness`](crate::Harness) in it ended, or [`PausedClock::advance`](crate::PausedClock::advance) did.
    ///
    /// Give a longer one where something sleeps for years, and a shorter one where something ticks on for ever beside it:
    /// each tick costs as much as it would in real time, and a lease of thirty seconds that is renewed ticks three million
    /// times in a year.
    ///
    /// # Default
    /// Four hundred days.
    pub const fn longest(mut self, time: Duration) -> Self {
        self.longest = time;
        self
    }

    /// Runs `test` for each seed, and gives what it returned, in the order of the seeds.
    ///
    /// # Panics
    /// Where `test` does, after the seed is printed. Where nothing can happen any more.
    pub fn run<T>(self, test: impl AsyncFn(Sim) -> T) -> Vec<T> {
        let once = |seed| {
            telling_the_seed(seed, || {
                in_paused_time(seed, self.longest, async { test(Sim::new(seed, self.longest)).await })
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

/// Where `test` panics, the seed is printed.
fn telling_the_seed<T>(seed: u64, test: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        seed::tell(seed);
        resume_unwind(panic)
    })
}

/// # Panics
/// Where `longest` has passed, by a clock that jumps.
fn in_paused_time<Fut: Future>(seed: u64, longest: Duration, test: Fut) -> Fut::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    #[expect(clippy::expect_used, reason = "it needs no file descriptors, and so cannot fail")]
    let runtime = runtime.expect("a runtime without I/O can be made");
    fastrand::seed(seed);
    // The timer needs the runtime that it is of.
    runtime.block_on(async { Watched::new(test, longest).await })
}

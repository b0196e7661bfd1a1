//! Concurrent runs in a process that dies at random moments.

use std::fmt::Debug;

use awaitly_core::store::Store;

use super::CrashTest;
use super::accident::Accident;
use super::case::Played;
use super::finding::Finding;
use super::judge::judge;
use super::life::Log;
use super::report::{CrashReport, Failure, Tried};
use super::world::World;

/// The maximum number of deaths in a round.
const MOST_DEATHS: usize = 8;

impl<S: Store> CrashTest<S> {
    /// Executes [`runs`](Self::runs) concurrent runs in a process that dies and restarts at up to eight random
    /// moments. Repeats this for [`rounds`](Self::rounds) rounds. Each round has its own seed, starting with the seed
    /// of the test, which determines the moments and the interleaving of the runs. A failing round is shortened
    /// before it is reported.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    /// use awaitly_testing::CrashTest;
    ///
    /// # async fn number() -> Result<u32, RunError> { Ok(1) }
    /// # awaitly_testing::simulate(async || {
    /// let test = CrashTest::new().seed(7).runs(3).rounds(10);
    /// let report = test.randomly(async |world| {
    ///     let workflow = world.workflow(Workflow::new("order"));
    ///     workflow.run("order-42", async |run| Ok::<_, RunError>(step!(run, number()))).await
    /// });
    /// report.await.assert_same_outcome();
    /// # });
    /// ```
    ///
    /// # Panics
    /// Panics if tokio's time is not paused, or if `body` panics.
    pub async fn randomly<T, E>(self, body: impl AsyncFn(World<S>) -> Result<T, E>) -> CrashReport
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        crate::clock::assert_paused();
        let mut calm = self.calm(self.options.seed, self.options.runs, &body).await;
        let mut report = CrashReport::new(&calm, self.options.seed);
        let rounds = if self.options.only.is_some() { 1 } else { self.options.rounds };
        for round in 0..rounds {
            let seed = self.options.seed.wrapping_add(round as u64);
            if round > 0 {
                calm = self.calm(seed, self.options.runs, &body).await;
            }
            let failure = self.round(&calm, seed, &body).await;
            if failure.is_some() || round + 1 == rounds {
                report.tried.push(Tried {
                    accidents: MOST_DEATHS,
                    at_most: true,
                    cases: round + 1,
                    of: rounds,
                });
                report.failure = failure;
                break;
            }
        }
        report
    }

    async fn round<T, E>(
        &self,
        calm: &Played<T, E>,
        seed: u64,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Option<Failure>
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let runs = self.options.runs;
        if !calm.findings.is_empty() {
            return Some(self.failure(calm, (&[], calm.findings.clone()), (seed, runs), body).await);
        }
        let boundaries = calm.boundaries.first().map_or(0, Vec::len) as u64;
        let accidents = self.options.only.clone().unwrap_or_else(|| deaths(seed, boundaries));
        let found = self.found(calm, &accidents, seed, body).await;
        if found.is_empty() {
            return None;
        }
        let (accidents, found) = match self.options.only {
            Some(_) => (accidents, found),
            None => self.shrink(calm, (accidents, found), seed, body).await,
        };
        let failure = self.failure(calm, (&accidents, found), (seed, runs), body).await;
        Some(Failure { is_random: true, ..failure })
    }

    async fn found<T, E>(
        &self,
        calm: &Played<T, E>,
        accidents: &[Accident],
        seed: u64,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Vec<Finding>
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let played = self.setting(seed, self.options.runs).play(accidents, Log::Off, body).await;
        let mut found = judge(calm, &played, self.options.values);
        found.extend(self.missed(accidents, &played));
        found
    }

    /// Finds a shorter case that still fails. Tries single deaths first. Otherwise removes deaths as long as the case
    /// fails, and then moves the others to earlier boundaries.
    async fn shrink<T, E>(
        &self,
        calm: &Played<T, E>,
        mut case: (Vec<Accident>, Vec<Finding>),
        seed: u64,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> (Vec<Accident>, Vec<Finding>)
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let boundaries = calm.boundaries.first().map_or(0, Vec::len) as u64;
        for at in 1..=boundaries.min(self.options.max_cases as u64) {
            let alone = vec![Accident::Death(at)];
            let found = self.found(calm, &alone, seed, body).await;
            if !found.is_empty() {
                return (alone, found);
            }
        }
        for index in (0..case.0.len()).rev() {
            let mut fewer = case.0.clone();
            fewer.remove(index);
            let found = self.found(calm, &fewer, seed, body).await;
            if !fewer.is_empty() && !found.is_empty() {
                case = (fewer, found);
            }
        }
        for index in 0..case.0.len() {
            let mut step = case.0.get(index).map_or(0, |accident| accident.boundary() / 2);
            while step > 0 {
                let mut earlier = case.0.clone();
                if let Some(Accident::Death(boundary)) = earlier.get_mut(index) {
                    *boundary = boundary.saturating_sub(step).max(1);
                }
                let found =
                    if earlier == case.0 { Vec::new() } else { self.found(calm, &earlier, seed, body).await };
                if found.is_empty() {
                    step /= 2;
                } else {
                    case = (earlier, found);
                }
            }
        }
        case
    }
}

fn deaths(seed: u64, boundaries: u64) -> Vec<Accident> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let number = dice.usize(1..=MOST_DEATHS);
    (0..number).map(|_| Accident::Death(dice.u64(1..=boundaries.max(1)))).collect()
}

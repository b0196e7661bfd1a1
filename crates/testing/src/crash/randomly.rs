//! Concurrent runs in a process that dies at random moments.

use std::fmt::Debug;

use awaitly_core::store::Store;

use super::accident::Accident;
use super::finding::Finding;
use super::life::Log;
use super::report::{CrashReport, Failure, Tried};
use super::round::Round;
use super::world::World;
use super::{CrashTest, Options};

/// The maximum number of deaths in a round.
const MOST_DEATHS: usize = 8;

impl<S: Store> CrashTest<S> {
    /// Executes [`runs`](Self::runs) concurrent runs in a process that dies and restarts at up to eight random
    /// moments. Repeats this for [`rounds`](Self::rounds) rounds, and stops at the first round that fails. The seed of
    /// a round determines the moments of the deaths and the interleaving of the runs. The first round has the seed of
    /// the test, and each further round the next number. If a round fails, the test looks for fewer or earlier deaths
    /// that still fail, and reports these.
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
        let Options { seed, runs, rounds, ref only, .. } = self.options;
        let rounds = if only.is_some() { 1 } else { rounds };
        let mut round = Round::begin(&self, &body, seed, runs).await;
        let mut report = CrashReport::new(&round.calm, seed);
        for number in 0..rounds {
            if number > 0 {
                round = Round::begin(&self, &body, seed.wrapping_add(number as u64), runs).await;
            }
            report.failure = round.deaths().await;
            if report.failure.is_some() || number + 1 == rounds {
                let cases = number + 1;
                report.tried.push(Tried { accidents: MOST_DEATHS, at_most: true, cases, of: rounds });
                break;
            }
        }
        report
    }
}

impl<S, B, T, E> Round<'_, S, B, T, E>
where
    S: Store,
    B: AsyncFn(World<S>) -> Result<T, E>,
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    /// Plays the case with deaths at random boundaries.
    async fn deaths(&self) -> Option<Failure> {
        if !self.calm.findings.is_empty() {
            return Some(self.failure(&[], self.calm.findings.clone()).await);
        }
        let only = &self.test.options.only;
        let accidents = only.clone().unwrap_or_else(|| deaths(self.seed, self.boundaries()));
        let found = self.found(&accidents).await;
        if found.is_empty() {
            return None;
        }
        let (accidents, found) = match only {
            Some(_) => (accidents, found),
            None => self.shrink((accidents, found)).await,
        };
        let failure = self.failure(&accidents, found).await;
        Some(Failure { is_random: true, ..failure })
    }

    async fn found(&self, accidents: &[Accident]) -> Vec<Finding> {
        self.judge(accidents, &self.play(accidents, Log::Off).await)
    }

    /// Finds a shorter case that still fails. Tries single deaths first. Otherwise removes deaths as long as the case
    /// fails, and then moves the others to earlier boundaries.
    async fn shrink(&self, mut case: (Vec<Accident>, Vec<Finding>)) -> (Vec<Accident>, Vec<Finding>) {
        for boundary in 1..=self.boundaries().min(self.test.options.max_cases as u64) {
            let alone = vec![Accident::Death(boundary)];
            let found = self.found(&alone).await;
            if !found.is_empty() {
                return (alone, found);
            }
        }
        for index in (0..case.0.len()).rev() {
            let mut fewer = case.0.clone();
            fewer.remove(index);
            let found = self.found(&fewer).await;
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
                let found = if earlier == case.0 { Vec::new() } else { self.found(&earlier).await };
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

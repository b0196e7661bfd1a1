//! Many runs at once in a process that dies at random moments.

use std::fmt::Debug;

use awaitly_core::store::Store;

use super::CrashTest;
use super::case::Played;
use super::judge::judge;
use super::life::{Accident, AccidentKind, Log};
use super::report::{CrashReport, Tried};
use super::world::World;

impl<S: Store> CrashTest<S> {
    /// Executes as many runs at once as [`runs`](Self::runs) says, in a process that dies at random moments and is
    /// started again, as often as [`rounds`](Self::rounds) says; the seed fixes all of it, and in which order the runs
    /// get their turns.
    ///
    /// # Panics
    /// Where tokio's time is not paused, and where `body` panics.
    pub async fn randomly<T, E>(self, body: impl AsyncFn(World<S>) -> Result<T, E>) -> CrashReport
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        crate::clock::assert_paused();
        let (seed, runs) = (self.seed, self.runs);
        let calm = self.calm(seed, runs, &body).await;
        let boundaries = calm.boundaries.first().map_or(0, Vec::len);
        let mut report = CrashReport { seed, boundaries, tried: Vec::new(), failure: None };
        if !calm.findings.is_empty() {
            report.failure = Some(self.failure(&calm, &[], seed, runs, &body).await);
            return report;
        }
        let mut dice = fastrand::Rng::with_seed(seed);
        for round in 0..self.rounds {
            let accidents = deaths(&mut dice, boundaries as u64);
            if self.goes_wrong(&calm, &accidents, &body).await {
                report.failure = Some(self.shrink(&calm, accidents, &body).await);
                report.tried.push(Tried { accidents: MOST_DEATHS, cases: round + 1, of: self.rounds });
                return report;
            }
        }
        report.tried.push(Tried { accidents: MOST_DEATHS, cases: self.rounds, of: self.rounds });
        report
    }

    async fn goes_wrong<T, E>(
        &self,
        calm: &Played<T, E>,
        accidents: &[Accident],
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> bool
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let setting = self.setting(self.seed, self.runs, self.runs > 1);
        let played = setting.play(accidents, Log::Off, body).await;
        !judge(calm, &played, self.values).is_empty()
    }

    /// The shortest case that still goes wrong: deaths are left out as long as it does, and the others come as early as
    /// they can.
    async fn shrink<T, E>(
        &self,
        calm: &Played<T, E>,
        mut accidents: Vec<Accident>,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> super::report::Failure
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let mut index = accidents.len();
        while let Some(at) = index.checked_sub(1) {
            index = at;
            let mut fewer = accidents.clone();
            fewer.remove(at);
            if !fewer.is_empty() && self.goes_wrong(calm, &fewer, body).await {
                accidents = fewer;
            }
        }
        for index in 0..accidents.len() {
            accidents = self.earlier(calm, accidents, index, body).await;
        }
        self.failure(calm, &accidents, self.seed, self.runs, body).await
    }

    /// The same with one death as early as halving finds it.
    async fn earlier<T, E>(
        &self,
        calm: &Played<T, E>,
        mut accidents: Vec<Accident>,
        index: usize,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Vec<Accident>
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let mut step = accidents.get(index).map_or(0, |accident| accident.at / 2);
        while step > 0 {
            let mut earlier = accidents.clone();
            if let Some(accident) = earlier.get_mut(index) {
                accident.at = accident.at.saturating_sub(step).max(1);
            }
            if earlier != accidents && self.goes_wrong(calm, &earlier, body).await {
                accidents = earlier;
            } else {
                step /= 2;
            }
        }
        accidents
    }
}

/// How many deaths a round has at most.
const MOST_DEATHS: usize = 8;

fn deaths(dice: &mut fastrand::Rng, boundaries: u64) -> Vec<Accident> {
    let number = dice.usize(1..=MOST_DEATHS);
    (0..number).map(|_| Accident { at: dice.u64(1..=boundaries.max(1)), kind: AccidentKind::Death }).collect()
}

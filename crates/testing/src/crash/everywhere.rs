//! Every case with one accident, then those with two, up to a bound: so the first that goes wrong is the shortest.

use std::fmt::Debug;

use awaitly_core::store::Store;

use super::CrashTest;
use super::accident::Accident;
use super::case::Played;
use super::judge::judge;
use super::life::Log;
use super::report::{CrashReport, Tried};
use super::world::World;

/// A case that went well, and where the next process in it could have an accident.
struct Stem {
    accidents: Vec<Accident>,
    passed: u64,
    answers: Vec<u64>,
}

impl Stem {
    fn new<T, E>(accidents: Vec<Accident>, played: &mut Played<T, E>, no_answers: bool) -> Self {
        let answers = if no_answers { std::mem::take(&mut played.answers) } else { Vec::new() };
        Self { accidents, passed: played.passed, answers }
    }

    /// How many cases there are with one accident more.
    const fn len(&self) -> usize {
        self.passed as usize + self.answers.len()
    }

    /// One of them.
    fn longer(&self, index: usize) -> Option<Vec<Accident>> {
        let deaths = self.passed as usize;
        let next = match index.checked_sub(deaths) {
            None => Accident::death(index as u64 + 1),
            Some(index) => Accident::no_answer(*self.answers.get(index)?),
        };
        Some(self.accidents.iter().copied().chain([next]).collect())
    }
}

impl<S: Store> CrashTest<S> {
    /// Lets the process die, and the store give no answer, at every boundary; then, from there, at every boundary once
    /// more; and so on.
    ///
    /// # Panics
    /// Where tokio's time is not paused, and where `body` panics.
    pub async fn everywhere<T, E>(self, body: impl AsyncFn(World<S>) -> Result<T, E>) -> CrashReport
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        crate::clock::assert_paused();
        let calm = self.calm(self.seed, 1, &body).await;
        let mut report = CrashReport::new(&calm, self.seed);
        let mut played = self.setting(self.seed, 1).play(&[], Log::Answers, &body).await;
        // A second time without an accident, it has to come to the same.
        let found = match calm.findings.is_empty() {
            true => judge(&calm, &played, self.values),
            false => calm.findings.clone(),
        };
        if !found.is_empty() {
            report.failure = Some(self.failure(&calm, (&[], found), (self.seed, 1), &body).await);
            return report;
        }
        if let Some(accidents) = &self.only {
            self.only_this(&calm, accidents, &mut report, &body).await;
            return report;
        }
        let mut stems = vec![Stem::new(Vec::new(), &mut played, self.no_answers)];
        for accidents in 1..=self.accidents {
            stems = self.longer(&calm, &stems, accidents, &mut report, &body).await;
            if report.failure.is_some() {
                break;
            }
        }
        report
    }

    /// The cases with one accident more than those of `stems`.
    async fn longer<T, E>(
        &self,
        calm: &Played<T, E>,
        stems: &[Stem],
        number: usize,
        report: &mut CrashReport,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Vec<Stem>
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let of = stems.iter().map(Stem::len).sum::<usize>();
        let stride = of.div_ceil(self.limit.max(1)).max(1);
        let mut longer = Vec::new();
        let (mut next, mut before, mut cases) = ((self.seed % stride as u64) as usize, 0, 0);
        for stem in stems {
            while next < before + stem.len() {
                let Some(accidents) = stem.longer(next - before) else { break };
                next += stride;
                cases += 1;
                let mut played = self.setting(self.seed, 1).play(&accidents, Log::Answers, body).await;
                let found = judge(calm, &played, self.values);
                if !found.is_empty() {
                    report.tried.push(Tried { accidents: number, at_most: false, cases, of });
                    let case = (&*accidents, found);
                    report.failure = Some(self.failure(calm, case, (self.seed, 1), body).await);
                    return Vec::new();
                }
                if number < self.accidents {
                    longer.push(Stem::new(accidents, &mut played, self.no_answers));
                }
            }
            before += stem.len();
        }
        report.tried.push(Tried { accidents: number, at_most: false, cases, of });
        longer
    }

    async fn only_this<T, E>(
        &self,
        calm: &Played<T, E>,
        accidents: &[Accident],
        report: &mut CrashReport,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let played = self.setting(self.seed, 1).play(accidents, Log::Answers, body).await;
        let mut found = judge(calm, &played, self.values);
        found.extend(self.missed(accidents, &played));
        report.tried.push(Tried { accidents: accidents.len(), at_most: false, cases: 1, of: 1 });
        if !found.is_empty() {
            report.failure = Some(self.failure(calm, (accidents, found), (self.seed, 1), body).await);
        }
    }
}

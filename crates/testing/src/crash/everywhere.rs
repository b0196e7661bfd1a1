//! Plays all cases with one accident, then all with two, up to a limit. The first failure is therefore the shortest.

use std::collections::BTreeSet;
use std::fmt::Debug;

use awaitly_core::store::Store;

use super::CrashTest;
use super::accident::Accident;
use super::cancelled::left;
use super::case::Played;
use super::finding::Finding;
use super::judge::judge;
use super::life::Log;
use super::report::{CrashReport, Tried};
use super::world::World;

/// A case that passed, with the boundaries at which its last process could have a further accident.
struct Stem {
    accidents: Vec<Accident>,
    /// The process could die at the boundaries after `after`, up to `passed`.
    after: u64,
    passed: u64,
    /// The boundaries at which the store could have given no answer.
    answers: Vec<u64>,
    /// The number of boundaries at which an operator could have cancelled the runs.
    cancels: u64,
}

impl Stem {
    fn new<T, E, S>(accidents: Vec<Accident>, played: &mut Played<T, E>, test: &CrashTest<S>) -> Self {
        // A process outlives a cancellation and can have another accident after it.
        let cancel = accidents.last().filter(|accident| accident.is_cancel());
        let after = cancel.map_or(0, |accident| accident.boundary());
        let mut answers =
            if test.options.no_answers { std::mem::take(&mut played.answers) } else { Vec::new() };
        answers.retain(|at| *at > after);
        let may_cancel = test.options.cancellations && !accidents.iter().any(|accident| accident.is_cancel());
        let cancels = if may_cancel { played.passed } else { 0 };
        Self { accidents, after, passed: played.passed.max(after), answers, cancels }
    }

    const fn deaths(&self) -> usize {
        (self.passed - self.after) as usize
    }

    /// Returns the number of cases with one more accident.
    const fn len(&self) -> usize {
        self.deaths() + self.answers.len() + self.cancels as usize
    }

    /// Returns the case with one more accident at this index.
    fn longer(&self, index: usize) -> Option<Vec<Accident>> {
        let (deaths, answers) = (self.deaths(), self.answers.len());
        let next = match index {
            index if index < deaths => Accident::Death(self.after + index as u64 + 1),
            index if index < deaths + answers => Accident::NoAnswer(*self.answers.get(index - deaths)?),
            index if index < self.len() => Accident::Cancel((index - deaths - answers) as u64 + 1),
            _ => return None,
        };
        Some(self.accidents.iter().copied().chain([next]).collect())
    }
}

/// The effects left behind by cancelled cases, which are judged after all cases have been played.
#[derive(Default)]
struct Leavings {
    /// The effects that at least one case undid.
    undone: BTreeSet<Box<str>>,
    left: Vec<(Vec<Accident>, BTreeSet<Box<str>>)>,
}

impl Leavings {
    fn note<T, E>(&mut self, accidents: &[Accident], played: &Played<T, E>) {
        self.undone.extend(played.undone.iter().map(|effect| effect.what.clone()));
        let left = if played.cancelled.is_some() { left(played) } else { BTreeSet::new() };
        if !left.is_empty() {
            self.left.push((accidents.to_vec(), left));
        }
    }

    /// Finds the first case that left an effect which another case undid.
    fn find(self) -> Option<(Vec<Accident>, Vec<Finding>)> {
        let Self { undone, left } = self;
        left.into_iter().find_map(|(accidents, left)| {
            let effects = left.intersection(&undone).map(ToString::to_string);
            let findings: Vec<_> = effects.map(|effect| Finding::WorkLeft { effect }).collect();
            (!findings.is_empty()).then_some((accidents, findings))
        })
    }
}

impl<S: Store> CrashTest<S> {
    /// Plays every case: an accident of each kind at every boundary, then a second accident at every boundary after
    /// the first, up to the configured [number](Self::max_accidents).
    ///
    /// # Panics
    /// Panics if tokio's time is not paused, or if `body` panics.
    pub async fn everywhere<T, E>(self, body: impl AsyncFn(World<S>) -> Result<T, E>) -> CrashReport
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        crate::clock::assert_paused();
        let calm = self.calm(self.options.seed, 1, &body).await;
        let mut report = CrashReport::new(&calm, self.options.seed);
        let mut played = self.setting(self.options.seed, 1).play(&[], Log::Answers, &body).await;
        // A second execution without an accident must have an equal outcome; otherwise later comparisons prove
        // nothing.
        let found = match calm.findings.is_empty() {
            true => judge(&calm, &played, self.options.values),
            false => calm.findings.clone(),
        };
        if !found.is_empty() {
            report.failure = Some(self.failure(&calm, (&[], found), (self.options.seed, 1), &body).await);
            return report;
        }
        if let Some(accidents) = &self.options.only {
            self.only_this(&calm, accidents, &mut report, &body).await;
            return report;
        }
        let mut stems = vec![Stem::new(Vec::new(), &mut played, &self)];
        let mut leavings = Leavings::default();
        leavings.note(&[], &calm);
        for accidents in 1..=self.options.max_accidents {
            stems = self.longer(&calm, &stems, accidents, (&mut report, &mut leavings), &body).await;
            if report.failure.is_some() {
                return report;
            }
        }
        if let Some((accidents, found)) = leavings.find() {
            report.failure =
                Some(self.failure(&calm, (&accidents, found), (self.options.seed, 1), &body).await);
        }
        report
    }

    /// Plays the cases with one accident more than those of `stems`.
    async fn longer<T, E>(
        &self,
        calm: &Played<T, E>,
        stems: &[Stem],
        number: usize,
        (report, leavings): (&mut CrashReport, &mut Leavings),
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Vec<Stem>
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let of = stems.iter().map(Stem::len).sum::<usize>();
        // If there are more cases than the limit permits, every `stride`-th case is played. The seed shifts the first
        // one, so that another seed plays other cases. `before` counts the cases of the stems already passed, which
        // maps the running index `next` to an index within the current stem.
        let stride = of.div_ceil(self.options.max_cases.max(1)).max(1);
        let mut longer = Vec::new();
        let (mut next, mut before, mut cases) = ((self.options.seed % stride as u64) as usize, 0, 0);
        for stem in stems {
            while next < before + stem.len() {
                let Some(accidents) = stem.longer(next - before) else { break };
                next += stride;
                cases += 1;
                let mut played =
                    self.setting(self.options.seed, 1).play(&accidents, Log::Answers, body).await;
                let found = judge(calm, &played, self.options.values);
                leavings.note(&accidents, &played);
                if !found.is_empty() {
                    report.tried.push(Tried { accidents: number, at_most: false, cases, of });
                    let case = (&*accidents, found);
                    report.failure = Some(self.failure(calm, case, (self.options.seed, 1), body).await);
                    return Vec::new();
                }
                if number < self.options.max_accidents {
                    longer.push(Stem::new(accidents, &mut played, self));
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
        let played = self.setting(self.options.seed, 1).play(accidents, Log::Answers, body).await;
        let mut found = judge(calm, &played, self.options.values);
        found.extend(self.missed(accidents, &played));
        report.tried.push(Tried { accidents: accidents.len(), at_most: false, cases: 1, of: 1 });
        if !found.is_empty() {
            report.failure = Some(self.failure(calm, (accidents, found), (self.options.seed, 1), body).await);
        }
    }
}

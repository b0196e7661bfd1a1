//! Plays all cases with one accident, then all with two, up to a limit. The first failure is therefore the shortest.

use std::collections::BTreeSet;
use std::fmt::Debug;

use awaitly_core::store::Store;

use super::accident::Accident;
use super::cancelled::left;
use super::case::Played;
use super::finding::Finding;
use super::life::Log;
use super::report::{CrashReport, Tried};
use super::round::Round;
use super::world::World;
use super::{CrashTest, Options};

/// A case that passed, with the boundaries at which its last process could have a further accident.
struct PassedCase {
    accidents: Vec<Accident>,
    /// The process could die at the boundaries after `after`, up to `passed`.
    after: u64,
    passed: u64,
    /// The boundaries at which the store could have given no answer.
    answers: Vec<u64>,
    /// The number of boundaries at which an operator could have cancelled the runs.
    cancels: u64,
}

impl PassedCase {
    fn new<T, E>(accidents: Vec<Accident>, played: &mut Played<T, E>, options: &Options) -> Self {
        // A process outlives a cancellation and can have another accident after it.
        let cancel = accidents.last().filter(|accident| accident.is_cancel());
        let after = cancel.map_or(0, |accident| accident.boundary());
        let mut answers = if options.no_answers { std::mem::take(&mut played.answers) } else { Vec::new() };
        answers.retain(|at| *at > after);
        let may_cancel = options.cancellations && !accidents.iter().any(|accident| accident.is_cancel());
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
struct LeftEffects {
    /// The effects that at least one case undid.
    undone: BTreeSet<Box<str>>,
    left: Vec<(Vec<Accident>, BTreeSet<Box<str>>)>,
}

impl LeftEffects {
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
    /// Plays the case without an accident, then the cases with one accident (each kind, at every boundary), then the
    /// cases with a second accident at a later boundary, and so on up to [`max_accidents`](Self::max_accidents). Stops
    /// at the first case that fails. [`max_cases`](Self::max_cases) limits the number of cases.
    ///
    /// # Panics
    /// Panics if tokio's time is not paused, or if `body` panics.
    pub async fn everywhere<T, E>(self, body: impl AsyncFn(World<S>) -> Result<T, E>) -> CrashReport
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        crate::clock::assert_paused();
        let round = Round::begin(&self, &body, self.options.seed, 1).await;
        let mut report = CrashReport::new(&round.calm, self.options.seed);
        // A second execution without an accident must have an equal outcome; otherwise later comparisons prove
        // nothing.
        let mut played = round.play(&[], Log::Answers).await;
        let found = match round.calm.findings.is_empty() {
            true => round.judge(&[], &played),
            false => round.calm.findings.clone(),
        };
        if !found.is_empty() {
            report.failure = Some(round.failure(&[], found).await);
            return report;
        }
        if let Some(accidents) = &self.options.only {
            let played = round.play(accidents, Log::Answers).await;
            report.tried.push(Tried { accidents: accidents.len(), at_most: false, cases: 1, of: 1 });
            let found = round.judge(accidents, &played);
            if !found.is_empty() {
                report.failure = Some(round.failure(accidents, found).await);
            }
            return report;
        }
        let mut passed = vec![PassedCase::new(Vec::new(), &mut played, &self.options)];
        let mut left_effects = LeftEffects::default();
        left_effects.note(&[], &round.calm);
        for number in 1..=self.options.max_accidents {
            passed = round.longer(&passed, number, &mut report, &mut left_effects).await;
            if report.failure.is_some() {
                return report;
            }
        }
        if let Some((accidents, found)) = left_effects.find() {
            report.failure = Some(round.failure(&accidents, found).await);
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
    /// Plays the cases with one accident more than those that `passed`.
    async fn longer(
        &self,
        passed: &[PassedCase],
        number: usize,
        report: &mut CrashReport,
        left_effects: &mut LeftEffects,
    ) -> Vec<PassedCase> {
        let options = &self.test.options;
        let of = passed.iter().map(PassedCase::len).sum::<usize>();
        // If there are more cases than the limit permits, every `stride`-th case is played. The seed shifts the first
        // one, so that another seed plays other cases. `before` counts the extensions of earlier cases,
        // which maps the running index `next` to an index among the extensions of this case.
        let stride = of.div_ceil(options.max_cases.max(1)).max(1);
        let mut longer = Vec::new();
        let (mut next, mut before, mut cases) = ((options.seed % stride as u64) as usize, 0, 0);
        for case in passed {
            while next < before + case.len() {
                let Some(accidents) = case.longer(next - before) else { break };
                next += stride;
                cases += 1;
                let mut played = self.play(&accidents, Log::Answers).await;
                let found = self.judge(&accidents, &played);
                left_effects.note(&accidents, &played);
                if !found.is_empty() {
                    report.tried.push(Tried { accidents: number, at_most: false, cases, of });
                    report.failure = Some(self.failure(&accidents, found).await);
                    return Vec::new();
                }
                if number < options.max_accidents {
                    longer.push(PassedCase::new(accidents, &mut played, options));
                }
            }
            before += case.len();
        }
        report.tried.push(Tried { accidents: number, at_most: false, cases, of });
        longer
    }
}

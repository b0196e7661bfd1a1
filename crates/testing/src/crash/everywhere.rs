//! Every case with one accident, then those with two, up to a bound: so the first that goes wrong is the shortest.

use std::fmt::{Debug, Write};
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::store::Store;

use super::boundary::Boundary;
use super::case::{Played, Setting};
use super::finding::Finding;
use super::judge::judge;
use super::life::{Accident, AccidentKind, Log};
use super::report::{CrashReport, Failure, Tried};
use super::world::World;
use super::{CrashTest, Supply};

/// How long what was spawned and forgotten has to show itself.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// A case without a failure, and where the next process in it could have an accident.
struct Stem {
    accidents: Vec<Accident>,
    passed: u64,
    answers: Vec<u64>,
}

impl Stem {
    fn new<T, E>(accidents: Vec<Accident>, played: &mut Played<T, E>) -> Self {
        Self { accidents, passed: played.passed, answers: std::mem::take(&mut played.answers) }
    }

    /// The cases with one accident more.
    fn longer(&self, no_answers: bool) -> impl Iterator<Item = Vec<Accident>> {
        let deaths = (1..=self.passed).map(|at| Accident { at, kind: AccidentKind::Death });
        let answers = self.answers.iter().filter(move |_| no_answers);
        let answers = answers.map(|at| Accident { at: *at, kind: AccidentKind::NoAnswer });
        deaths.chain(answers).map(|accident| {
            let mut accidents = self.accidents.clone();
            accidents.push(accident);
            accidents
        })
    }
}

impl<S: Store> CrashTest<S> {
    /// What a case is played on.
    pub(super) fn setting(&self, seed: u64, runs: usize, mixes: bool) -> Setting<S> {
        let (number, lease) = (self.next_case(), self.lease);
        match &self.supply {
            Supply::Fresh(make) => {
                let (store, prefix) = (Arc::new(make()), String::new());
                Setting { store, real: false, prefix, seed, runs, mixes, lease }
            }
            Supply::Shared(store, unique) => {
                let (store, prefix) = (Arc::clone(store), format!("{unique}/{number}/"));
                Setting { store, real: true, prefix, seed, runs, mixes, lease }
            }
        }
    }

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
        let seed = self.seed;
        let calm = self.calm(seed, 1, &body).await;
        let boundaries = calm.boundaries.first().map_or(0, Vec::len);
        let mut report = CrashReport { seed, boundaries, tried: Vec::new(), failure: None };
        if !calm.findings.is_empty() {
            report.failure = Some(self.failure(&calm, &[], seed, 1, &body).await);
            return report;
        }
        if let Some(accidents) = &self.only {
            report.failure = self.fails(&calm, accidents, &body).await;
            report.tried.push(Tried { accidents: accidents.len(), cases: 1, of: 1 });
            return report;
        }
        let mut stems = vec![self.stem(Vec::new(), &body).await];
        for accidents in 1..=self.accidents {
            let of = stems.iter().map(|stem| stem.longer(self.no_answers).count()).sum::<usize>();
            let stride = of.div_ceil(self.limit.max(1)).max(1);
            let mut cases = 0;
            let mut longer = Vec::new();
            let all = stems.iter().flat_map(|stem| stem.longer(self.no_answers));
            for accidents in all.skip((seed % stride as u64) as usize).step_by(stride) {
                cases += 1;
                let mut played = self.setting(seed, 1, false).play(&accidents, Log::Answers, &body).await;
                if !judge(&calm, &played, self.values).is_empty() {
                    report.failure = Some(self.failure(&calm, &accidents, seed, 1, &body).await);
                    break;
                }
                if accidents.len() < self.accidents {
                    longer.push(Stem::new(accidents, &mut played));
                }
            }
            report.tried.push(Tried { accidents, cases, of });
            if report.failure.is_some() {
                break;
            }
            stems = longer;
        }
        report
    }

    async fn stem<T, E>(
        &self,
        accidents: Vec<Accident>,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Stem {
        let mut played = self.setting(self.seed, 1, false).play(&accidents, Log::Answers, body).await;
        Stem::new(accidents, &mut played)
    }

    /// The case without an accident, and what came after its end.
    pub(super) async fn calm<T, E>(
        &self,
        seed: u64,
        runs: usize,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Played<T, E> {
        let setting = self.setting(seed, runs, runs > 1);
        let notes = Arc::default();
        let mut played = setting.play_with(&notes, &[], Log::All, body).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(AFTERWARDS).await;
        played.findings.extend(notes.take_findings());
        if played.boundaries.iter().all(Vec::is_empty) {
            played.findings.push(Finding::NothingHappens);
        }
        played
    }

    async fn fails<T, E>(
        &self,
        calm: &Played<T, E>,
        accidents: &[Accident],
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Option<Failure>
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let played = self.setting(self.seed, 1, false).play(accidents, Log::Answers, body).await;
        let fails = !judge(calm, &played, self.values).is_empty();
        if fails { Some(self.failure(calm, accidents, self.seed, 1, body).await) } else { None }
    }

    /// The case once more, with everything told.
    pub(super) async fn failure<T, E>(
        &self,
        calm: &Played<T, E>,
        accidents: &[Accident],
        seed: u64,
        runs: usize,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Failure
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let again;
        let (played, findings) = if accidents.is_empty() {
            (calm, calm.findings.clone())
        } else {
            again = self.setting(seed, runs, runs > 1).play(accidents, Log::All, body).await;
            let findings = judge(calm, &again, self.values);
            (&again, findings)
        };
        let (places, trace) = (played.accidents.clone(), trace(&played.boundaries, &played.accidents));
        Failure { seed, runs, accidents: accidents.to_vec(), places, findings, trace }
    }
}

fn trace(boundaries: &[Vec<Boundary>], accidents: &[Option<Boundary>]) -> String {
    let mut text = String::new();
    for (number, passed) in boundaries.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  process {}", number + 1);
        for (at, boundary) in passed.iter().enumerate() {
            let _ = writeln!(text, "  {:>5}  {boundary}", at + 1);
        }
        let end = match accidents.get(number) {
            Some(Some(boundary)) => format!("its end, {boundary}"),
            _ => "comes to its end".to_owned(),
        };
        let _ = writeln!(text, "         {end}");
    }
    text
}

//! One seed of a test: the case without an accident, the cases that are compared with it, and the detailed replay of a
//! failed one.

use std::fmt::{Debug, Write};
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::Status;
use awaitly_core::store::{RunId, Store};

use super::accident::Accident;
use super::boundary::Boundary;
use super::case::{Played, Setting};
use super::finding::Finding;
use super::judge::judge;
use super::life::Log;
use super::report::Failure;
use super::world::World;
use super::{CrashTest, Supply};

/// The time after the end of the calm case in which a detached task can reveal itself by an effect.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// The cases with one seed.
pub(super) struct Round<'t, S, B, T, E> {
    pub(super) test: &'t CrashTest<S>,
    body: &'t B,
    pub(super) seed: u64,
    /// The number of concurrent runs.
    runs: usize,
    /// The case without an accident.
    pub(super) calm: Played<T, E>,
}

impl<'t, S, B, T, E> Round<'t, S, B, T, E>
where
    S: Store,
    B: AsyncFn(World<S>) -> Result<T, E>,
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    /// Plays the case without an accident, and observes effects that come after its end.
    pub(super) async fn begin(test: &'t CrashTest<S>, body: &'t B, seed: u64, runs: usize) -> Self {
        let notes = Arc::default();
        let mut calm = test.setting(seed, runs).play(&notes, &[], Log::All, body).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(AFTERWARDS).await;
        calm.findings.extend(notes.take_findings());
        if calm.boundaries.iter().all(Vec::is_empty) {
            calm.findings.push(Finding::NothingHappens);
        }
        let interrupted = calm.runs.iter().filter_map(|(run, (_, stored))| {
            let is_running = stored.as_ref().is_some_and(|stored| stored.header.status == Status::Running);
            let run = RunId::new(Arc::clone(run)).ok().filter(|_| is_running)?;
            Some(Finding::Interrupted { run })
        });
        let interrupted: Vec<_> = interrupted.collect();
        calm.findings.extend(interrupted);
        Self { test, body, seed, runs, calm }
    }

    /// Plays the case with these accidents.
    pub(super) async fn play(&self, accidents: &[Accident], log: Log) -> Played<T, E> {
        self.test.setting(self.seed, self.runs).play(&Arc::default(), accidents, log, self.body).await
    }

    /// Returns the differences of a case from the calm one, and the findings made during the case. If the test plays
    /// only this case, all of its accidents must have happened.
    pub(super) fn judge(&self, accidents: &[Accident], played: &Played<T, E>) -> Vec<Finding> {
        let mut found = judge(&self.calm, played, self.test.options.values);
        let happened = played.accidents.iter().take_while(|place| place.is_some()).count();
        if let Some(accident) = accidents.get(happened).filter(|_| self.test.options.only.is_some()) {
            found.push(Finding::NoAccident { accident: *accident, passed: played.passed });
        }
        found
    }

    /// Replays a failed case with a full log of its boundaries. Keeps the findings in `found` if the replay does not
    /// fail.
    pub(super) async fn failure(&self, accidents: &[Accident], found: Vec<Finding>) -> Failure {
        let again;
        let (played, again_found) = if accidents.is_empty() {
            (&self.calm, found.clone())
        } else {
            again = self.play(accidents, Log::All).await;
            (&again, self.judge(accidents, &again))
        };
        // Work left behind is judged across all cases, so the replay of one case cannot find it again.
        let is_left = found.iter().any(|finding| matches!(finding, Finding::WorkLeft { .. }));
        let repeats = is_left || !again_found.is_empty();
        let findings = if is_left || again_found.is_empty() { found } else { again_found };
        let (accidents, places) = (accidents.to_vec(), played.accidents.clone());
        let trace = trace(&played.boundaries, &played.ends);
        let (seed, runs) = (self.seed, self.runs);
        Failure { seed, runs, is_random: false, accidents, places, findings, repeats, trace }
    }

    /// Returns the number of boundaries in the calm case.
    pub(super) fn boundaries(&self) -> u64 {
        self.calm.boundaries.first().map_or(0, Vec::len) as u64
    }
}

impl<S: Store> CrashTest<S> {
    /// Creates the setting of the next case.
    fn setting(&self, seed: u64, runs: usize) -> Setting<S> {
        let number = self.next_case();
        let (store, real, prefix) = match &self.supply {
            Supply::Fresh(make) => (Arc::new(make()), false, String::new()),
            Supply::Shared(store, unique) => (Arc::clone(store), true, format!("{unique}/{number}/")),
        };
        let (downtime, time_limit) = (self.options.downtime, self.options.time_limit);
        let interleaved = self.options.interleaved;
        Setting { store, real, prefix, seed, runs, interleaved, downtime, time_limit }
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
            Some(Some(boundary)) => format!("the accident, {boundary}"),
            _ => "comes to its end".to_owned(),
        };
        let _ = writeln!(text, "         {end}");
    }
    text
}

//! The first case of every crash test, which has no accident, and the detailed replay of a failed case.

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

impl<S: Store> CrashTest<S> {
    /// Creates the setting of the next case.
    pub(super) fn setting(&self, seed: u64, runs: usize) -> Setting<S> {
        let number = self.next_case();
        let (store, real, prefix) = match &self.supply {
            Supply::Fresh(make) => (Arc::new(make()), false, String::new()),
            Supply::Shared(store, unique) => (Arc::clone(store), true, format!("{unique}/{number}/")),
        };
        let (downtime, time_limit) = (self.options.downtime, self.options.time_limit);
        Setting { store, real, prefix, seed, runs, downtime, time_limit }
    }

    /// Plays the case without an accident, and observes effects that come after its end.
    pub(super) async fn calm<T, E>(
        &self,
        seed: u64,
        runs: usize,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Played<T, E> {
        let notes = Arc::default();
        let mut played = self.setting(seed, runs).play_with(&notes, &[], Log::All, body).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(AFTERWARDS).await;
        played.findings.extend(notes.take_findings());
        if played.boundaries.iter().all(Vec::is_empty) {
            played.findings.push(Finding::NothingHappens);
        }
        let interrupted = played.runs.iter().filter_map(|(run, (_, stored))| {
            let is_running = stored.as_ref().is_some_and(|stored| stored.header.status == Status::Running);
            let run = RunId::new(Arc::clone(run)).ok().filter(|_| is_running)?;
            Some(Finding::Interrupted { run })
        });
        let interrupted: Vec<_> = interrupted.collect();
        played.findings.extend(interrupted);
        played
    }

    /// Returns a finding if the test plays a single case and one of its accidents did not happen.
    pub(super) fn missed<T, E>(&self, accidents: &[Accident], played: &Played<T, E>) -> Option<Finding> {
        let happened = played.accidents.iter().take_while(|place| place.is_some()).count();
        let accident = *accidents.get(happened).filter(|_| self.options.only.is_some())?;
        Some(Finding::NoAccident { accident, passed: played.passed })
    }

    /// Replays a failed case with a full log of its boundaries. Keeps the findings in `found` if the replay does not
    /// fail.
    pub(super) async fn failure<T, E>(
        &self,
        calm: &Played<T, E>,
        (accidents, found): (&[Accident], Vec<Finding>),
        (seed, runs): (u64, usize),
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Failure
    where
        T: PartialEq + Debug,
        E: PartialEq + Debug,
    {
        let again;
        let (played, again_found) = if accidents.is_empty() {
            (calm, found.clone())
        } else {
            again = self.setting(seed, runs).play(accidents, Log::All, body).await;
            let mut found = judge(calm, &again, self.options.values);
            found.extend(self.missed(accidents, &again));
            (&again, found)
        };
        // Work left behind is judged across all cases, so the replay of one case cannot find it again.
        let is_left = found.iter().any(|finding| matches!(finding, Finding::WorkLeft { .. }));
        let repeats = is_left || !again_found.is_empty();
        let findings = if is_left || again_found.is_empty() { found } else { again_found };
        let (accidents, places) = (accidents.to_vec(), played.accidents.clone());
        let trace = trace(&played.boundaries, &played.ends);
        Failure { seed, runs, is_random: false, accidents, places, findings, repeats, trace }
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

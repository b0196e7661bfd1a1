//! One case: processes that meet their accidents one after another, until one comes to its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use awaitly_core::store::{RunId, Store, StoredRun};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::accident::Accident;
use super::boundary::Boundary;
use super::finding::Finding;
use super::life::{Accidents, Life, Log, Mortal};
use super::notes::{Effect, Notes, RunNotes};
use super::process::{Process, StandStill};
use super::store::CrashStore;
use super::watcher::Watcher;
use super::world::World;
use crate::PausedClock;

/// What a case is played on.
pub(super) struct Setting<S> {
    pub(super) store: Arc<S>,
    pub(super) real: bool,
    /// What comes before all run ids, so that cases do not meet in one store.
    pub(super) prefix: String,
    pub(super) seed: u64,
    /// How many runs are executed at once. Where there are several, their attempts are kept back at random.
    pub(super) runs: usize,
    /// How long it takes until the next process begins, and how long one has to come to its end.
    pub(super) downtime: Duration,
    pub(super) longest: Duration,
}

/// What came of a case.
pub(super) struct Played<T, E> {
    /// What the runs ended in; one that never ended is missing.
    pub(super) results: Vec<Option<Result<T, E>>>,
    pub(super) effects: Vec<Effect>,
    pub(super) runs: BTreeMap<Arc<str>, (RunNotes, Option<StoredRun>)>,
    pub(super) findings: Vec<Finding>,
    /// How far the last process got, and where the store could have given it no answer.
    pub(super) passed: u64,
    pub(super) answers: Vec<u64>,
    /// Where the accidents happened, and to which process; those of the list that did not happen are `None`.
    pub(super) accidents: Vec<Option<(usize, Boundary)>>,
    /// Where each process ended.
    pub(super) ends: Vec<Option<Boundary>>,
    /// Where an operator cancelled the runs of a process, if one did.
    pub(super) cancelled: Option<Boundary>,
    /// The effects that were undone.
    pub(super) undone: Vec<Effect>,
    /// What each process passed, where that was asked for.
    pub(super) boundaries: Vec<Vec<Boundary>>,
}

impl<S: Store> Setting<S> {
    /// Plays the case in which these accidents happen, one to each process.
    pub(super) async fn play<T, E>(
        &self,
        accidents: &[Accident],
        log: Log,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Played<T, E> {
        self.play_with(&Arc::default(), accidents, log, body).await
    }

    /// The same, with notes that are still looked at when it is over.
    pub(super) async fn play_with<T, E>(
        &self,
        notes: &Arc<Notes>,
        accidents: &[Accident],
        log: Log,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Played<T, E> {
        let _telling = Telling { accidents, seed: self.seed };
        let clock = PausedClock::new();
        let results = Mutex::new((0..self.runs).map(|_| None).collect::<Vec<_>>());
        let mut lives = Vec::new();
        // Each accident ends at most one process, and one without an accident comes to its end.
        let mut to_come = accidents;
        for _ in 0..=accidents.len() {
            crate::watched::progress();
            let life = Life::new(Accidents::take(&mut to_come), log);
            let processes = self.processes(&life, notes, &results);
            let all = Mortal::new(self.all(&processes, clock, body, &results), &life);
            let Ok(ended) = tokio::time::timeout(self.longest, all).await else {
                notes.find(Finding::NeverEnds { last_step: notes.last_step() });
                lives.push(life);
                break;
            };
            let is_over = ended.is_some() && (life.accident().is_none() || !forget_failures(&results));
            lives.push(life);
            if is_over {
                break;
            }
            self.after(&processes, ended.is_some()).await;
        }
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.played(results, notes, &lives).await
    }

    fn processes<T>(
        &self,
        life: &Life,
        notes: &Arc<Notes>,
        results: &Mutex<Vec<Option<T>>>,
    ) -> Vec<(usize, Arc<Process<S>>)> {
        let results = results.lock().unwrap_or_else(PoisonError::into_inner);
        let open = results.iter().enumerate().filter(|(_, result)| result.is_none());
        open.map(|(index, _)| (index, Arc::new(self.process(index, life, notes)))).collect()
    }

    fn process(&self, index: usize, life: &Life, notes: &Arc<Notes>) -> Process<S> {
        let number = if self.runs > 1 { index + 1 } else { 0 };
        let scope = match number {
            0 => self.prefix.clone(),
            number => format!("{}{number}/", self.prefix),
        };
        let watcher = Watcher {
            life: life.clone(),
            notes: Arc::clone(notes),
            number,
            scope: (!scope.is_empty()).then(|| scope.into()),
            dice: (number > 0).then_some(self.seed),
        };
        Process::new(Arc::clone(&self.store), self.real, watcher)
    }

    /// All runs that have not ended, at once.
    async fn all<T, E>(
        &self,
        processes: &[(usize, Arc<Process<S>>)],
        clock: PausedClock,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
        results: &Mutex<Vec<Option<Result<T, E>>>>,
    ) {
        let run = async |index: usize, process: &Arc<Process<S>>| {
            let result = body(World::new(Arc::clone(process), clock, self.seed)).await;
            // What a process that is dead by now came to, nobody gets to know.
            if !process.watcher.life.is_dead()
                && let Some(place) = results.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index)
            {
                *place = Some(result);
            }
        };
        match processes {
            [(index, process)] => run(*index, process).await,
            processes => {
                let runs: FuturesUnordered<_> =
                    processes.iter().map(|(index, process)| run(*index, process)).collect();
                runs.collect::<()>().await;
            }
        }
    }

    /// Lets the leases of processes that are gone expire.
    async fn after(&self, processes: &[(usize, Arc<Process<S>>)], lives: bool) {
        for (_, process) in processes {
            if lives {
                CrashStore { process: Arc::clone(process) }.flush_all().await;
            }
            process.leave_leases(self.downtime).await;
        }
        if !self.real {
            tokio::time::sleep(self.downtime).await;
        }
    }

    async fn played<T, E>(
        &self,
        results: Vec<Option<Result<T, E>>>,
        notes: &Notes,
        lives: &[Life],
    ) -> Played<T, E> {
        let mut runs = BTreeMap::new();
        for (run, of_run) in notes.runs() {
            let stored = self.stored(&run).await;
            if let Some(stored) = &stored {
                notes.check(&run, &stored.records);
            }
            runs.insert(run, (of_run, stored));
        }
        let last = lives.last();
        Played {
            results,
            effects: notes.effects(),
            runs,
            findings: notes.take_findings(),
            passed: last.map_or(0, Life::passed),
            answers: last.map(Life::answers).unwrap_or_default(),
            accidents: lives.iter().zip(1..).flat_map(|(life, number)| life.met(number)).collect(),
            ends: lives.iter().map(Life::accident).collect(),
            cancelled: lives.iter().find_map(Life::cancelled),
            undone: notes.undone(),
            boundaries: lives.iter().map(Life::boundaries).collect(),
        }
    }

    async fn stored(&self, run: &str) -> Option<StoredRun> {
        let run = RunId::new(format!("{}{run}", self.prefix)).ok()?;
        let _still = self.real.then(StandStill::begin);
        self.store.load(&run).await.ok().flatten()
    }
}

/// The accident was that the store gave no answer: a run that failed by it is run again. Says whether there is one.
fn forget_failures<T, E>(results: &Mutex<Vec<Option<Result<T, E>>>>) -> bool {
    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
    let mut forgotten = false;
    for result in results.iter_mut() {
        forgotten |= result.take_if(|result| result.is_err()).is_some();
    }
    forgotten
}

/// Says which case it was, where the code under test panics.
struct Telling<'a> {
    accidents: &'a [Accident],
    seed: u64,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let accidents: Vec<_> = self.accidents.iter().map(Accident::to_string).collect();
            eprintln!("the crash test was at the case [{}], seed {}", accidents.join(", "), self.seed);
        }
    }
}

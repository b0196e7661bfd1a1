//! One case: a sequence of processes that meet their accidents, until one ends normally.

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
use super::scope::Scope;
use super::store::CrashStore;
use super::watcher::Watcher;
use super::world::World;
use crate::PausedClock;

/// The store and the parameters of a case.
pub(super) struct Setting<S> {
    pub(super) store: Arc<S>,
    pub(super) real: bool,
    /// The prefix of all run ids, which separates the cases in a shared store.
    pub(super) prefix: String,
    pub(super) seed: u64,
    /// The number of concurrent runs. If there are several, attempts are delayed at random.
    pub(super) runs: usize,
    /// Whether concurrent tasks of one run overtake each other, too.
    pub(super) interleaved: bool,
    /// The time between two processes, and the time limit for one process.
    pub(super) downtime: Duration,
    pub(super) time_limit: Duration,
}

/// The outcome of a case.
pub(super) struct Played<T, E> {
    /// The results of the runs. `None` if a run never ended.
    pub(super) results: Vec<Option<Result<T, E>>>,
    pub(super) effects: Vec<Effect>,
    pub(super) runs: BTreeMap<Arc<str>, (RunNotes, Option<StoredRun>)>,
    pub(super) findings: Vec<Finding>,
    /// The number of boundaries that the last process passed, and those at which the store could have given no
    /// answer.
    pub(super) passed: u64,
    pub(super) answers: Vec<u64>,
    /// The process and boundary of each accident. `None` if the accident did not happen.
    pub(super) accidents: Vec<Option<(usize, Boundary)>>,
    /// The boundary at which each process ended.
    pub(super) ends: Vec<Option<Boundary>>,
    /// The boundary at which an operator cancelled the runs of a process.
    pub(super) cancelled: Option<Boundary>,
    /// The effects that were undone.
    pub(super) undone: Vec<Effect>,
    /// The boundaries that each process passed, if they were logged.
    pub(super) boundaries: Vec<Vec<Boundary>>,
}

impl<S: Store> Setting<S> {
    /// Plays the case in which these accidents happen, one per process. The caller can read the notes afterwards.
    pub(super) async fn play<T, E>(
        &self,
        notes: &Arc<Notes>,
        accidents: &[Accident],
        log: Log,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
    ) -> Played<T, E> {
        let _telling = Telling { accidents, seed: self.seed };
        let clock = PausedClock::new();
        let results = Mutex::new((0..self.runs).map(|_| None).collect::<Vec<_>>());
        let (mut lives, mut last) = (Vec::new(), BTreeMap::new());
        // Each accident ends at most one process, and a process without an accident ends normally, so
        // `accidents.len() + 1` processes suffice.
        let mut to_come = accidents;
        for _ in 0..=accidents.len() {
            crate::watched::progress();
            let life = Life::new(Accidents::take(&mut to_come), log);
            let processes = self.processes(&life, notes, &results);
            last.extend(processes.iter().map(|(index, process)| (*index, Arc::clone(process))));
            let all = Mortal::new(self.all(&processes, clock, body, &results), &life);
            let Ok(ended) = tokio::time::timeout(self.time_limit, all).await else {
                notes.find(Finding::NeverEnds { last_step: notes.last_step() });
                life.end();
                lives.push(life);
                break;
            };
            // A process can end without completing its run: the store gave no answer, and the closure returned the
            // error. Its failed results are discarded, and the next process executes these runs again.
            let is_over = ended.is_some() && (life.accident().is_none() || !forget_failures(&results));
            lives.push(life);
            if is_over {
                break;
            }
            self.after(&processes, ended.is_some()).await;
        }
        for process in last.values() {
            self.diagnose(process).await;
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
            scope: Scope::new(scope),
            dice: (self.interleaved || number > 0).then_some(self.seed),
        };
        Process::new(Arc::clone(&self.store), self.real, watcher)
    }

    /// Executes all runs that have not ended, concurrently.
    async fn all<T, E>(
        &self,
        processes: &[(usize, Arc<Process<S>>)],
        clock: PausedClock,
        body: &impl AsyncFn(World<S>) -> Result<T, E>,
        results: &Mutex<Vec<Option<Result<T, E>>>>,
    ) {
        let run = async |index: usize, process: &Arc<Process<S>>| {
            // The box keeps the type of a test's future small: the compiler limits how deep such types nest.
            let result = Box::pin(body(World::new(Arc::clone(process), clock, self.seed))).await;
            // The result of a process that has died is lost with it.
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

    /// Lets the leases of dead processes expire.
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

    /// Notes the runs that nothing continues after the last process, if it used the engine.
    async fn diagnose(&self, process: &Process<S>) {
        let watcher = process.watcher.clone();
        let watcher = Watcher { life: Life::new(Accidents::default(), Log::Off), dice: None, ..watcher };
        let observer = Arc::new(Process::new(Arc::clone(&self.store), self.real, watcher));
        for finding in observer.diagnose(process).await {
            process.watcher.notes.find(finding);
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

/// Removes the failed results after an accident that the process survived, so that these runs are executed again.
/// Returns whether there was one.
fn forget_failures<T, E>(results: &Mutex<Vec<Option<Result<T, E>>>>) -> bool {
    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
    let mut forgotten = false;
    for result in results.iter_mut() {
        forgotten |= result.take_if(|result| result.is_err()).is_some();
    }
    forgotten
}

/// Prints the current case if the code under test panics.
struct Telling<'a> {
    accidents: &'a [Accident],
    seed: u64,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let accidents: Vec<_> = self.accidents.iter().map(Accident::to_string).collect();
            eprintln!(
                "the crash test was playing the case [{}] with seed {}",
                accidents.join(", "),
                self.seed
            );
        }
    }
}

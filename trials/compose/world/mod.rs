//! The world outside of the runs: effects that happen and are undone. It outlives every process, and counts.

mod effect;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use effect::Effect;

use crate::decisions;
use crate::fault::Fault;
use crate::feature::{Feature, Features};
use crate::part::{Body, Fails, Id};
use crate::promise::{Broken, Promise};
use crate::value::digest;

/// The world of one case.
pub(crate) struct World(Mutex<Books>);

#[derive(Default)]
pub(crate) struct Books {
    /// Whether attempts are counted across executions.
    counts_on: bool,
    /// How often the steps around a part may be attempted.
    times: Vec<u32>,
    /// How many attempts a part has.
    attempts: Vec<u32>,
    /// The child whose body contains a part.
    owners: BTreeMap<u16, u16>,
    pub(crate) effects: BTreeMap<Id, Effect>,
    pub(crate) undos: BTreeMap<Id, Effect>,
    /// The states of the sagas after the last execution of the body.
    pub(crate) sagas: BTreeMap<u16, Saga>,
    /// The runs that were called by others.
    pub(crate) inner_runs: BTreeSet<String>,
    /// How often the body was called.
    pub(crate) bodies: u32,
    /// How many attempts each guard has refused.
    refused: BTreeMap<u16, u8>,
    acquired: BTreeMap<u16, i32>,
    /// Nothing fails any more.
    mended: bool,
    /// Whether a worker executes the run, maybe several times in one execution of the case.
    by_worker: bool,
    /// Whether the worker had to execute the run again, because the store failed: operations were lost.
    was_interrupted: bool,
    /// The run was cancelled before this execution, so that no operation begins.
    pub(crate) goes_no_further: bool,
    /// The run can no longer be cancelled.
    pub(crate) too_late: bool,
    pub(crate) broken: Option<Broken>,
}

/// The state of a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Saga {
    Open,
    Kept,
    /// It was undone, but for these keys.
    Undone(Vec<String>),
}

impl World {
    pub(crate) fn new(body: &Body, features: Features, by_worker: bool) -> Self {
        let mut books = Books { counts_on: features.has(Feature::Counts), by_worker, ..Books::default() };
        body.walk(&mut |part, times| {
            let id = usize::from(part.id);
            for list in [&mut books.times, &mut books.attempts] {
                list.resize(list.len().max(id + 1), 1);
            }
            if let Some(place) = books.times.get_mut(id) {
                *place = times;
            }
            if let Some(place) = books.attempts.get_mut(id) {
                *place = part.attempts();
            }
        });
        if body.needs_worker() {
            body.owned(&mut |part, owner| {
                books.owners.insert(part.id, owner);
            });
        }
        Self(Mutex::new(books))
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation comes to its effect. Fails if the operation does.
    pub(crate) fn act(&self, id: Id, fails: Fails) -> Result<(), Fault> {
        let mut books = self.books();
        let (times, attempts) = (books.times(id), books.attempts(id));
        let (mended, counts_on, by_worker) = (books.mended, books.counts_on, books.by_worker);
        let effect = books.effects.entry(id).or_default();
        let done = effect.act(fails, mended, by_worker);
        let broken = effect.is_repeated(times, counts_on.then_some(attempts), "the effect");
        books.break_if(broken, id);
        if books.goes_no_further && books.owner(id.0) == 0 {
            books.breaks(Promise::NoFurther, format!("the operation of {id:?} is called"));
        }
        if done { Ok(()) } else { Err(Fault::Own(id.0, id.1)) }
    }

    /// A compensation comes to its effect.
    pub(crate) fn undo(&self, id: Id, fails: Fails, attempts: u8) -> Result<(), Fault> {
        let mut books = self.books();
        let (mended, counts_on, by_worker) = (books.mended, books.counts_on, books.by_worker);
        let undo = books.undos.entry(id).or_default();
        let done = undo.act(fails, mended, by_worker);
        let broken = undo.is_repeated(1, counts_on.then_some(attempts.into()), "the compensation");
        books.break_if(broken, id);
        if !done {
            return Err(Fault::Own(id.0, id.1));
        }
        let effect = books.effects.entry(id).or_default();
        effect.stands = false;
        if effect.done == 0 {
            books.breaks(Promise::Undone, format!("{id:?} is undone, and was never done"));
        }
        Ok(())
    }

    /// The body is given an outcome.
    pub(crate) fn saw(&self, id: Id, is_undo: bool, outcome: &Result<u64, Fault>) {
        let mut books = self.books();
        let times = books.times(id);
        let effects = if is_undo { &mut books.undos } else { &mut books.effects };
        let effect = effects.entry(id).or_default();
        let seen = match outcome {
            Ok(value) => *value,
            Err(fault) if decisions::is_failure(fault) => digest(&fault.class()),
            // What ends or pauses the run is no outcome of the step.
            Err(_) => return,
        };
        effect.settled += std::mem::take(&mut effect.fresh);
        let before = effect.seen.replace(seen);
        if times == 1 && before.is_some_and(|before| before != seen) {
            let text = format!("{id:?} comes back as something else, now {}", shown(outcome));
            books.breaks(Promise::SameOutcome, text);
        }
    }

    /// The future of a step was dropped before it had an outcome.
    pub(crate) fn dropped(&self, id: Id) {
        let mut books = self.books();
        for effect in [books.effects.get_mut(&id)].into_iter().flatten() {
            effect.lost += effect.fresh.max(effect.called);
            effect.fresh = 0;
        }
    }

    pub(crate) fn saga(&self, id: u16, saga: Saga) {
        self.books().sagas.insert(id, saga);
    }

    /// Whether the guard of a part refuses this attempt.
    pub(crate) fn refuses(&self, id: u16, times: u8) -> bool {
        let mut books = self.books();
        let refused = books.refused.entry(id).or_default();
        *refused = refused.saturating_add(1);
        *refused <= times
    }

    /// The future that holds a resource was dropped, which releases nothing.
    pub(crate) fn forget(&self, id: u16) {
        self.books().acquired.remove(&id);
    }

    /// Acquires or releases a resource.
    pub(crate) fn hold(&self, id: u16, by: i32) {
        let mut books = self.books();
        let held = books.acquired.entry(id).or_default();
        *held += by;
        let held = *held;
        if held < 0 {
            books.breaks(Promise::Resources, format!("resource {id} is released twice"));
        }
    }
}

impl Books {
    /// An execution begins.
    pub(crate) fn begin(&mut self) {
        self.acquired.clear();
        self.was_interrupted = false;
        for effect in self.effects.values_mut().chain(self.undos.values_mut()) {
            effect.called = 0;
        }
    }

    /// An execution has ended. `lost`: outcomes may not be recorded, because of an accident.
    pub(crate) fn end(&mut self, lost: bool) {
        for effect in self.effects.values_mut().chain(self.undos.values_mut()) {
            let fresh = std::mem::take(&mut effect.fresh);
            if lost {
                effect.lost += fresh.max(effect.called);
            } else {
                effect.settled += fresh;
            }
        }
        if !lost && self.acquired.values().any(|held| *held != 0) {
            self.breaks(Promise::Resources, "a resource was not released".to_owned());
        }
    }

    /// The store failed while a worker executed the run.
    pub(crate) const fn interrupt(&mut self) {
        self.was_interrupted = self.by_worker;
    }

    /// The run is retried: what failed or was undone may happen again, and nothing fails any more.
    pub(crate) fn forgive(&mut self) {
        (self.mended, self.goes_no_further) = (true, false);
        for effect in self.effects.values_mut().chain(self.undos.values_mut()) {
            let stands = effect.stands;
            *effect = Effect { stands, done: effect.done, ..Effect::default() };
        }
    }

    /// The body of a child begins, or that of the run.
    pub(crate) fn forget_sagas(&mut self, owner: u16) {
        let owners = &self.owners;
        self.sagas.retain(|id, _| owners.get(id).copied().unwrap_or(0) != owner);
    }

    /// The child whose body contains a part, or 0.
    fn owner(&self, id: u16) -> u16 {
        self.owners.get(&id).copied().unwrap_or(0)
    }

    pub(crate) fn breaks(&mut self, promise: Promise, text: String) {
        self.broken.get_or_insert(Broken { promise, text });
    }

    fn break_if(&mut self, broken: Option<&'static str>, id: Id) {
        if let Some(what) = broken.filter(|_| !self.was_interrupted) {
            let promise = if what == "the compensation" { Promise::UndoneOnce } else { Promise::Once };
            self.breaks(promise, format!("{what} of {id:?} happens again, though nothing was lost"));
        }
    }

    fn times(&self, id: Id) -> u32 {
        self.times.get(usize::from(id.0)).copied().unwrap_or(1)
    }

    fn attempts(&self, id: Id) -> u32 {
        self.attempts.get(usize::from(id.0)).copied().unwrap_or(1)
    }
}

fn shown(outcome: &Result<u64, Fault>) -> String {
    outcome.as_ref().map_or_else(ToString::to_string, |_| "another value".to_owned())
}

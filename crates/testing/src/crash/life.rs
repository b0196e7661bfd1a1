//! The life of one process in a crash test: the boundaries that it passes, and the accident that ends it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tokio_util::sync::CancellationToken;

use super::accident::Accident;
use super::boundary::Boundary;

/// The boundaries of a life to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// No boundaries.
    Off,
    /// The boundaries at which the store could give no answer.
    Answers,
    /// All boundaries.
    All,
}

/// The effect of a boundary on the code that passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    GoesOn,
    Dies,
    NoAnswer,
}

/// The life of one process. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Life(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// A cancellation, which the process outlives, and the accident after it.
    accidents: Accidents,
    log: Log,
    passed: AtomicU64,
    /// The number of boundaries passed when a lease was last renewed, or a claim last found no run.
    idled: AtomicU64,
    state: AtomicU8,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    driver: Option<Waker>,
    /// The boundaries at which the store could give no answer.
    answers: Vec<u64>,
    passed: Vec<Boundary>,
    /// The boundary at which the accident happened.
    end: Option<Boundary>,
    /// The tokens that cancel the runs of the process.
    tokens: Vec<CancellationToken>,
    /// The boundary at which an operator cancelled the runs.
    cancelled: Option<Boundary>,
    /// Whether the cancellation still has to be written to the store.
    is_asked_for: bool,
}

/// The accidents of one process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Accidents {
    pub(super) cancel: Option<Accident>,
    pub(super) end: Option<Accident>,
}

impl Accidents {
    /// Removes the accidents of the next process from the front of a list.
    pub(super) fn take(list: &mut &[Accident]) -> Self {
        let cancel = next(list, Accident::is_cancel);
        Self { cancel, end: next(list, |accident| !accident.is_cancel()) }
    }

    fn at(&self, at: u64) -> Option<Accident> {
        [self.cancel, self.end].into_iter().flatten().find(|accident| accident.boundary() == at)
    }
}

fn next(list: &mut &[Accident], is_wanted: impl Fn(Accident) -> bool) -> Option<Accident> {
    let (first, rest) = list.split_first().filter(|(first, _)| is_wanted(**first))?;
    *list = rest;
    Some(*first)
}

const ALIVE: u8 = 0;
const DEAD: u8 = 1;
const ENDED: u8 = 2;

impl Life {
    pub(super) fn new(accidents: Accidents, log: Log) -> Self {
        Self(Arc::new(Inner {
            accidents,
            log,
            passed: AtomicU64::new(0),
            idled: AtomicU64::new(u64::MAX),
            state: AtomicU8::new(ALIVE),
            rest: Mutex::default(),
        }))
    }

    /// Passes a boundary, unless the process is dead or dies there. `answered` is whether the store could give no
    /// answer here.
    pub(super) fn pass(&self, answered: bool, boundary: impl FnOnce() -> Boundary) -> Fate {
        let Inner { accidents, log, passed, .. } = &*self.0;
        if self.is_dead() {
            return Fate::Dies;
        }
        let at = passed.fetch_add(1, Ordering::Relaxed) + 1;
        let accident = accidents.at(at);
        if *log == Log::Answers && answered {
            self.rest().answers.push(at);
        }
        if accident.is_none() && *log != Log::All {
            return Fate::GoesOn;
        }
        let boundary = boundary();
        if *log == Log::All {
            self.rest().passed.push(boundary.clone());
        }
        accident.map_or(Fate::GoesOn, |accident| self.meet(accident, answered, boundary))
    }

    fn meet(&self, accident: Accident, answered: bool, boundary: Boundary) -> Fate {
        let mut rest = self.rest();
        match accident {
            Accident::Death(_) => {
                self.0.state.store(DEAD, Ordering::Relaxed);
                if let Some(driver) = rest.driver.take() {
                    driver.wake();
                }
                rest.end = Some(boundary);
                Fate::Dies
            }
            Accident::NoAnswer(_) if answered => {
                rest.end = Some(boundary);
                Fate::NoAnswer
            }
            Accident::NoAnswer(_) => Fate::GoesOn,
            Accident::Cancel(_) => {
                rest.cancelled = Some(boundary);
                rest.is_asked_for = true;
                let tokens = rest.tokens.clone();
                drop(rest);
                tokens.iter().for_each(CancellationToken::cancel);
                Fate::GoesOn
            }
        }
    }

    /// Registers the token that cancels a run, when the run begins. `as_process` states whether a cancellation of the
    /// process's runs includes runs that begin after it.
    pub(super) fn begins(&self, token: &CancellationToken, as_process: bool) {
        let mut rest = self.rest();
        rest.tokens.push(token.clone());
        if as_process && rest.cancelled.is_some() {
            drop(rest);
            token.cancel();
        }
    }

    /// Returns the boundary of each accident, with `number` as the number of the process.
    pub(super) fn met(&self, number: usize) -> Vec<Option<(usize, Boundary)>> {
        let Accidents { cancel, end } = self.0.accidents;
        let rest = self.rest();
        let places = [cancel.map(|_| rest.cancelled.clone()), end.map(|_| rest.end.clone())];
        places.into_iter().flatten().map(|place| place.map(|place| (number, place))).collect()
    }

    /// Returns the boundary at which an operator cancelled the runs.
    pub(super) fn cancelled(&self) -> Option<Boundary> {
        self.rest().cancelled.clone()
    }

    /// Returns whether the cancellation must be written to the store now.
    pub(super) fn asks_for_cancel(&self) -> bool {
        self.0.accidents.cancel.is_some() && std::mem::take(&mut self.rest().is_asked_for)
    }

    /// Returns whether the process dies at the next boundary.
    pub(super) fn dies_next(&self) -> bool {
        self.0.accidents.end == Some(Accident::Death(self.passed() + 1))
    }

    pub(super) fn is_dead(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) == DEAD
    }

    pub(super) fn has_ended(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) == ENDED
    }

    /// Returns whether the process died or its work has ended.
    pub(super) fn is_over(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) != ALIVE
    }

    /// Returns the number of boundaries passed.
    pub(super) fn passed(&self) -> u64 {
        self.0.passed.load(Ordering::Relaxed)
    }

    pub(super) fn boundaries(&self) -> Vec<Boundary> {
        std::mem::take(&mut self.rest().passed)
    }

    /// Returns the boundaries at which the store could give no answer.
    pub(super) fn answers(&self) -> Vec<u64> {
        std::mem::take(&mut self.rest().answers)
    }

    /// Returns the boundary at which the accident happened, if it did.
    pub(super) fn accident(&self) -> Option<Boundary> {
        self.rest().end.clone()
    }

    /// Returns whether the process passed no boundary since the last renewal of a lease, or the last claim that found no
    /// run. A death now would be equivalent to a death at that call, so the boundary is not counted again.
    pub(super) fn has_idled(&self) -> bool {
        self.passed() == self.0.idled.load(Ordering::Relaxed)
    }

    pub(super) fn idled(&self) {
        self.0.idled.store(self.passed(), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        let _ = self.0.state.compare_exchange(ALIVE, ENDED, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pin_project! {
    /// The future of a process that may die. `None` after the death, which drops all of the process's state.
    pub(super) struct Mortal<F> {
        #[pin]
        body: Option<F>,
        life: Life,
    }
}

impl<F> Mortal<F> {
    pub(super) fn new(body: F, life: &Life) -> Self {
        Self { body: Some(body), life: life.clone() }
    }
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        // A boundary inside this poll may kill the process. The code at the boundary cannot unwind from there; it
        // returns or stays pending, and writes no more. The body is therefore dropped here, right after the poll,
        // which also drops every future of the dead process. A task that the process spawned may reach the deadly
        // boundary outside of this poll; then `Life::meet` wakes this future through `driver`.
        let polled = body.poll(cx);
        if this.life.is_dead() {
            this.body.set(None);
            return Poll::Ready(None);
        }
        if polled.is_pending() {
            this.life.rest().driver = Some(cx.waker().clone());
            return Poll::Pending;
        }
        this.body.set(None);
        this.life.end();
        polled.map(Some)
    }
}

//! One process in a crash test: how far it gets, and what ends it.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use awaitly_core::journal::Key;
use awaitly_core::store::StoreError;
use pin_project_lite::pin_project;

use super::boundary::Boundary;

/// What happens to a process, and at which of the boundaries that it passes: 1 is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accident {
    /// The number of the boundary in the life of the process.
    pub at: u64,
    /// What happens there.
    pub kind: AccidentKind,
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccidentKind {
    /// It dies: nothing of it goes on.
    Death,
    /// It lives, and the store does not answer it: before the boundary's act nothing was done, after it all was.
    NoAnswer,
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            AccidentKind::Death => write!(f, "Accident::death({})", self.at),
            AccidentKind::NoAnswer => write!(f, "Accident::no_answer({})", self.at),
        }
    }
}

/// How much is written down of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// Nothing.
    Off,
    /// At which boundaries the store could give no answer.
    Answers,
    /// Every boundary.
    All,
}

/// What a boundary means for who passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    GoesOn,
    Dies,
    NoAnswer,
}

/// The life of one process. Clones are the same life.
#[derive(Debug, Clone)]
pub(super) struct Life(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accident: Option<Accident>,
    log: Log,
    passed: AtomicU64,
    /// How many it had passed when a lease was renewed last.
    renewed: AtomicU64,
    state: AtomicU8,
    /// How many steps run, and how many writes are on their way.
    running: AtomicI32,
    writing: AtomicI32,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    driver: Option<Waker>,
    /// At which boundaries the store could give no answer.
    answers: Vec<u64>,
    passed: Vec<Boundary>,
    /// The boundary at which the accident happened.
    end: Option<Boundary>,
    unanswered: Option<Unanswered>,
}

/// A write of a step that the store gave no answer to.
#[derive(Debug, Clone)]
pub(super) struct Unanswered {
    pub(super) step: Key,
    /// Nothing else was under way: what begins after it begins because of it, or in spite of it.
    pub(super) alone: bool,
}

const ALIVE: u8 = 0;
const DEAD: u8 = 1;
const ENDED: u8 = 2;

impl Life {
    pub(super) fn new(accident: Option<Accident>, log: Log) -> Self {
        Self(Arc::new(Inner {
            accident,
            log,
            passed: AtomicU64::new(0),
            renewed: AtomicU64::new(0),
            state: AtomicU8::new(ALIVE),
            running: AtomicI32::new(0),
            writing: AtomicI32::new(0),
            rest: Mutex::default(),
        }))
    }

    /// Passes a boundary, or not.
    pub(super) fn pass(&self, answered: bool, boundary: impl FnOnce() -> Boundary) -> Fate {
        let Inner { accident, log, passed, .. } = &*self.0;
        if self.is_dead() {
            return Fate::Dies;
        }
        let at = passed.fetch_add(1, Ordering::Relaxed) + 1;
        match log {
            Log::Answers if answered => self.rest().answers.push(at),
            Log::Off | Log::Answers => {}
            Log::All => return self.pass_and_tell(at, answered, boundary()),
        }
        match accident.filter(|accident| accident.at == at) {
            None => Fate::GoesOn,
            Some(accident) => self.meet(accident.kind, answered, boundary()),
        }
    }

    fn pass_and_tell(&self, at: u64, answered: bool, boundary: Boundary) -> Fate {
        self.rest().passed.push(boundary.clone());
        match self.0.accident.filter(|accident| accident.at == at) {
            None => Fate::GoesOn,
            Some(accident) => self.meet(accident.kind, answered, boundary),
        }
    }

    fn meet(&self, kind: AccidentKind, answered: bool, boundary: Boundary) -> Fate {
        match kind {
            AccidentKind::Death => {
                self.0.state.store(DEAD, Ordering::Relaxed);
                let mut rest = self.rest();
                rest.end = Some(boundary);
                if let Some(driver) = rest.driver.take() {
                    driver.wake();
                }
                Fate::Dies
            }
            AccidentKind::NoAnswer if answered => {
                let alone = self.running() <= 0 && self.0.writing.load(Ordering::Relaxed) <= 1;
                let mut rest = self.rest();
                let step = boundary.step.clone().filter(|_| boundary.act.is_of_body());
                rest.unanswered = step.map(|step| Unanswered { step, alone });
                rest.end = Some(boundary);
                Fate::NoAnswer
            }
            AccidentKind::NoAnswer => Fate::GoesOn,
        }
    }

    /// Passes a boundary of the store. Does not come back where the process dies there.
    pub(super) async fn cross(&self, boundary: impl FnOnce() -> Boundary) -> Result<(), StoreError> {
        match self.pass(true, boundary) {
            Fate::GoesOn => Ok(()),
            Fate::Dies => pending().await,
            Fate::NoAnswer => Err(StoreError::Unavailable { detail: "a crash test".into() }),
        }
    }

    /// The process has come to its end.
    pub(super) fn end(&self) {
        let _ = self.0.state.compare_exchange(ALIVE, ENDED, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) == DEAD
    }

    pub(super) fn has_ended(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) == ENDED
    }

    /// How many boundaries it has passed.
    pub(super) fn passed(&self) -> u64 {
        self.0.passed.load(Ordering::Relaxed)
    }

    pub(super) fn boundaries(&self) -> Vec<Boundary> {
        std::mem::take(&mut self.rest().passed)
    }

    /// At which of them the store could give no answer.
    pub(super) fn answers(&self) -> Vec<u64> {
        std::mem::take(&mut self.rest().answers)
    }

    /// Where the accident happened, if it did.
    pub(super) fn accident(&self) -> Option<Boundary> {
        self.rest().end.clone()
    }

    /// The step whose write was not answered, if there is one.
    pub(super) fn unanswered(&self) -> Option<Unanswered> {
        self.0.accident.filter(|accident| accident.kind == AccidentKind::NoAnswer)?;
        self.rest().unanswered.clone()
    }

    /// The body has ended: what begins after it is no going on.
    pub(super) fn body_ends(&self) {
        if self.0.accident.is_some() {
            self.rest().unanswered = None;
        }
    }

    /// Whether nothing has happened since a lease was renewed last: to die now is to die then.
    pub(super) fn has_only_renewed(&self) -> bool {
        self.passed() == self.0.renewed.load(Ordering::Relaxed)
    }

    pub(super) fn renewed(&self) {
        self.0.renewed.store(self.passed(), Ordering::Relaxed);
    }

    fn running(&self) -> i32 {
        self.0.running.load(Ordering::Relaxed)
    }

    /// So many steps more run.
    pub(super) fn run_more(&self, steps: i32) {
        self.0.running.fetch_add(steps, Ordering::Relaxed);
    }

    /// So many writes more are on their way.
    pub(super) fn write_more(&self, writes: i32) {
        self.0.writing.fetch_add(writes, Ordering::Relaxed);
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pin_project! {
    /// A process that may die. `None`: it did, and whatever it was about is gone.
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
        let polled = body.poll(cx);
        if this.life.is_dead() {
            this.body.set(None);
            return Poll::Ready(None);
        }
        match polled {
            Poll::Ready(ended) => {
                this.body.set(None);
                this.life.end();
                Poll::Ready(Some(ended))
            }
            Poll::Pending => {
                this.life.rest().driver = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

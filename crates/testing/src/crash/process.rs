//! What a process is made of: its life, and what it leaves in the notes of its case.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use awaitly_core::__stage::{Cue, Scene, Stage};
use awaitly_core::RunError;
use awaitly_core::event::{Event, EventKind, Observer, ScopeKind, StepId};
use awaitly_core::store::{Lease, StoreError};

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::life::{Fate, Life, Unanswered};
use super::notes::Notes;
use super::store::Unflushed;

/// A process on a store.
#[derive(Debug)]
pub(super) struct Process<S> {
    pub(super) store: Arc<S>,
    /// Whether the store lives by real time, and others may write to it.
    pub(super) real: bool,
    pub(super) watcher: Watcher,
    hands: Mutex<Hands>,
}

/// What a process holds.
#[derive(Debug, Default)]
pub(super) struct Hands {
    pub(super) leases: Vec<Lease>,
    /// The longest time for which one of them was asked.
    pub(super) ttl: Duration,
    /// Writes that are acknowledged but not durable.
    pub(super) unflushed: Vec<Unflushed>,
}

impl<S> Process<S> {
    pub(super) fn new(store: Arc<S>, real: bool, watcher: Watcher) -> Self {
        Self { store, real, watcher, hands: Mutex::default() }
    }

    pub(super) fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers of a real store take time of their own: that of the test stands still until then.
    pub(super) async fn still<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let _still = self.real.then(StandStill::begin);
        answer.await
    }
}

/// As long as this is there, paused time does not move on: tokio does not let it while a blocking task runs.
struct StandStill {
    _until: std::sync::mpsc::Sender<()>,
}

impl StandStill {
    fn begin() -> Self {
        let (until, dropped) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || dropped.recv());
        Self { _until: until }
    }
}

/// Watches one run's part in a process: it is both stage and observer.
#[derive(Debug, Clone)]
pub(super) struct Watcher {
    pub(super) life: Life,
    pub(super) notes: Arc<Notes>,
    /// Which of the runs at once it is; what comes before its run ids and idempotency keys.
    pub(super) number: usize,
    pub(super) scope: Option<Arc<str>>,
    /// What decides how long an attempt is kept back, so that the runs mix differently.
    pub(super) dice: Option<u64>,
}

impl Watcher {
    /// The text, of this run alone.
    pub(super) fn scoped(&self, text: &str) -> Box<str> {
        match self.number {
            0 => text.into(),
            number => format!("{number}/{text}").into(),
        }
    }

    /// A run, as the notes know it.
    pub(super) fn named(&self, run: &Arc<str>) -> Arc<str> {
        match self.number {
            0 => Arc::clone(run),
            number => format!("{number}/{run}").into(),
        }
    }

    fn at(&self, step: &StepId, side: Side, act: Act) -> Boundary {
        let _ = self;
        Boundary::new(side, act, Some(step.key.clone()))
    }

    /// How often an attempt lets others go first.
    fn turns(&self, step: &StepId, attempt: u32) -> u32 {
        let Some(seed) = self.dice else { return 0 };
        let text = self.scoped(&step.key);
        let mixed = text
            .bytes()
            .chain(attempt.to_le_bytes())
            .fold(seed, |mixed, byte| (mixed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        fastrand::Rng::with_seed(mixed).u32(0..4)
    }
}

impl Stage for Watcher {
    fn looks_up(&self, step: &StepId) {
        self.life.pass(false, || self.at(step, Side::Before, Act::Lookup));
        if let Some(Unanswered { step: failed, alone: true }) = self.life.unanswered() {
            self.notes.find(Finding::WentOn { step: failed, to: Some(step.key.clone()) });
        }
    }

    fn attempt(&self, step: &StepId, attempt: u32) -> Option<Scene> {
        if self.life.pass(false, || self.at(step, Side::Before, Act::Attempt(attempt))) == Fate::Dies {
            return Some(Box::pin(pending()));
        }
        match self.turns(step, attempt) {
            0 => None,
            turns => Some(Box::pin(LetOthersGo(turns))),
        }
    }

    fn body_returned(&self, a_value: bool, stopped: Option<&RunError>) {
        if let Some(Unanswered { step, .. }) = self.life.unanswered()
            && a_value
            && stopped.is_some()
        {
            self.notes.find(Finding::WentOn { step, to: None });
        }
    }
}

/// An attempt that begins some turns later.
struct LetOthersGo(u32);

impl Future for LetOthersGo {
    type Output = Cue;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cue> {
        match self.0.checked_sub(1) {
            None => Poll::Ready(Cue::Operation),
            Some(left) => {
                self.0 = left;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Observer for Watcher {
    fn on_event(&self, event: &Event) {
        if self.life.is_dead() {
            return;
        }
        match &event.kind {
            EventKind::RunStarted { .. } => self.notes.body_begins(&self.named(&event.run)),
            EventKind::RunInterrupted { .. } => self.life.body_ends(),
            EventKind::StepMissed { step } | EventKind::StepReused { step } => {
                self.notes.asked(&self.named(&event.run), &step.key, &step.name);
            }
            EventKind::ScopeStarted { scope, kind: ScopeKind::Race } => {
                self.notes.race(&self.named(&event.run), scope);
            }
            EventKind::StepStarted { step } => {
                self.notes.step_begins(&step.key);
                self.life.run_more(1);
            }
            EventKind::StepSucceeded { .. }
            | EventKind::StepFailed { .. }
            | EventKind::StepAborted { .. } => {
                self.life.run_more(-1);
            }
            _ => {}
        }
        self.life.pass(false, || {
            let step = event.kind.step().map(|step| step.key.clone());
            Boundary::new(Side::At, Act::Event(name_of(&event.kind)), step)
        });
    }
}

/// The name of a variant.
fn name_of(kind: &EventKind) -> Box<str> {
    let text = format!("{kind:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().into()
}

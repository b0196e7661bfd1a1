use std::fmt;
use std::time::Duration;

use awaitly_core::event::{Event, EventKind, RecordedKind, StepId};
use awaitly_core::journal::Key;
use serde::Serialize;

use super::Happened;

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Invocation {
    /// What the step is called.
    pub name: Key,
    /// What it is known by in its run.
    pub key: Key,
    /// Its place among the steps, from 0, in the order in which they began.
    pub order: usize,
    /// How many attempts began. One that a guard refused did not.
    pub attempts: u32,
    /// When it began, since the run did.
    pub began: Duration,
    /// How long it took, with all its attempts.
    pub duration: Duration,
    /// What it ended in.
    pub ended: Ended,
}

/// What a step ended in, as far as those who watch can tell: values are not among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ended {
    /// A value.
    Succeeded,
    /// This error: its own; or, where the step is not recorded, one of the library as well.
    Failed(String),
    /// The library ended it with this error: a limit of time passed, or a guard or a hook refused.
    Stopped(String),
    /// What the journal holds.
    Reused,
    /// It was not run, because its condition did not hold.
    Skipped,
    /// It waits for an answer from outside.
    Waiting,
    /// Nothing: it was dropped, or its operation panicked.
    Aborted,
    /// Nothing: the run could not go on.
    Interrupted,
}

impl Invocation {
    /// Whether that is its name or its key.
    #[must_use]
    pub fn is(&self, name_or_key: &str) -> bool {
        *self.name == *name_or_key || *self.key == *name_or_key
    }

    /// Whether its outcome was in the journal already.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.ended == Ended::Reused
    }

    /// Whether it is a durable sleep, of which is recorded when it is over: no attempt begins at it.
    pub(crate) fn is_sleep(&self) -> bool {
        self.ended == Ended::Succeeded && self.attempts == 0
    }

    fn begin(step: &StepId, order: usize, event: &Event) -> Self {
        let StepId { key, name } = step.clone();
        let (began, duration) = (event.at, Duration::ZERO);
        Self { name, key, order, attempts: 0, began, duration, ended: Ended::Interrupted }
    }
}

/// The steps in what has happened.
pub(super) fn all_of(happened: &Happened) -> Vec<Invocation> {
    let mut steps = Steps::default();
    let mut attempts = happened.attempts.iter().peekable();
    for (number, event) in happened.events.iter().enumerate() {
        while let Some((_, key)) = attempts.next_if(|(at, _)| *at <= number) {
            steps.attempt(key);
        }
        if let Some(step) = event.kind.step().filter(|step| !happened.keeps_book(&step.key)) {
            steps.hear(step, event);
        }
    }
    attempts.for_each(|(_, key)| steps.attempt(key));
    steps.all
}

#[derive(Default)]
struct Steps {
    all: Vec<Invocation>,
    /// Which of them have not ended yet, and whether their first attempt was announced.
    open: Vec<(usize, bool)>,
    /// The step whose attempt took too long, if that was told last.
    timed_out: Option<Key>,
}

impl Steps {
    fn hear(&mut self, step: &StepId, event: &Event) {
        let timed_out = self.timed_out.take().is_some_and(|key| key == step.key);
        match &event.kind {
            EventKind::StepMissed { .. } => {
                self.begin(step, event, false);
            }
            EventKind::StepStarted { .. } => self.start(step, event),
            EventKind::StepReused { .. } => self.end(step, event, Ended::Reused),
            EventKind::StepSkipped { .. } => self.end(step, event, Ended::Skipped),
            EventKind::StepWaiting { .. } => self.end(step, event, Ended::Waiting),
            EventKind::StepSucceeded { .. } => self.end(step, event, Ended::Succeeded),
            EventKind::StepAborted { .. } => self.end(step, event, Ended::Aborted),
            EventKind::StepFailed { error, .. } if timed_out => {
                self.end(step, event, Ended::Stopped(error.clone()));
            }
            EventKind::StepFailed { error, .. } => self.end(step, event, Ended::Failed(error.clone())),
            EventKind::AttemptTimedOut { .. } => self.timed_out = Some(step.key.clone()),
            EventKind::RetriesExhausted { .. } if timed_out => self.timed_out = Some(step.key.clone()),
            EventKind::StepRecorded { kind: RecordedKind::Stopped, .. } => self.was_stopped(step),
            EventKind::HookRefused { error, .. } => {
                if let Some(last) = self.last(step) {
                    last.ended = Ended::Stopped(error.clone());
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, step: &StepId, event: &Event, started: bool) -> usize {
        let order = self.all.len();
        self.all.push(Invocation::begin(step, order, event));
        self.open.push((order, started));
        order
    }

    /// A step that was looked up goes on; any other one begins.
    fn start(&mut self, step: &StepId, event: &Event) {
        let all = &self.all;
        let missed = self.open.iter_mut().find(|(at, started)| {
            !started && all.get(*at).is_some_and(|invocation| invocation.key == step.key)
        });
        match missed {
            Some((_, started)) => *started = true,
            None => drop(self.begin(step, event, true)),
        }
    }

    fn end(&mut self, step: &StepId, event: &Event, ended: Ended) {
        let place = self.open.iter().position(|(at, _)| self.is(*at, &step.key));
        let at = match place {
            Some(place) => self.open.remove(place).0,
            None => {
                let at = self.begin(step, event, true);
                self.open.pop();
                at
            }
        };
        if let Some(invocation) = self.all.get_mut(at) {
            invocation.ended = ended;
            invocation.duration = event.at.saturating_sub(invocation.began);
        }
    }

    fn attempt(&mut self, key: &Key) {
        let at = self.open.iter().rev().find(|(at, _)| self.is(*at, key));
        if let Some(invocation) = at.and_then(|(at, _)| self.all.get_mut(*at)) {
            invocation.attempts += 1;
        }
    }

    /// What was recorded shows that it was the library that ended the step.
    fn was_stopped(&mut self, step: &StepId) {
        if let Some(last) = self.last(step)
            && let Ended::Failed(error) = &last.ended
        {
            last.ended = Ended::Stopped(error.clone());
        }
    }

    fn last(&mut self, step: &StepId) -> Option<&mut Invocation> {
        self.all.iter_mut().rev().find(|invocation| invocation.key == step.key)
    }

    fn is(&self, at: usize, key: &Key) -> bool {
        self.all.get(at).is_some_and(|invocation| invocation.key == *key)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Stopped(error) => write!(f, "was stopped: {error}"),
            Self::Reused => f.write_str("was reused"),
            Self::Skipped => f.write_str("was skipped"),
            Self::Waiting => f.write_str("waits"),
            Self::Aborted => f.write_str("was aborted"),
            Self::Interrupted => f.write_str("was interrupted"),
        }
    }
}

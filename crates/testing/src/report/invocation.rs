use std::fmt;
use std::time::Duration;

use awaitly_core::event::{Event, EventKind, StepId};
use awaitly_core::journal::Key;
use awaitly_core::journal::Kind;
use serde::Serialize;

use super::Happened;

/// A step of a run, from its lookup to its ending.
///
/// ```
/// use awaitly_core::{RunError, clock::secs, step};
/// use awaitly_testing::report::StepEnding;
/// use awaitly_testing::{Harness, ok, simulate};
///
/// # async fn reserve() -> Result<u32, RunError> { unreachable!() }
/// let report = simulate(async || {
///     let harness = Harness::new().script("reserve", ok(7_u32).after(secs(2)));
///     harness.run(async |run| Ok::<_, RunError>(step!(run, reserve()))).await
/// });
/// let [reserve] = report.invocations() else { panic!("one step") };
/// assert!(reserve.is("reserve") && !reserve.is_reused());
/// assert_eq!((reserve.attempts, reserve.duration, &reserve.ending), (1, secs(2), &StepEnding::Succeeded));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Invocation {
    /// The name of the step.
    pub name: Key,
    /// The key of the step, unique in its run.
    pub key: Key,
    /// The position of the step among the steps of the run, in the order in which they began, from 0.
    pub order: usize,
    /// The number of attempts that began. An attempt that a guard refused did not begin.
    pub attempts: u32,
    /// The time between the beginning of the run and the beginning of the step.
    pub began: Duration,
    /// The duration of the step, including all attempts; zero if the step was [interrupted](StepEnding::Interrupted).
    pub duration: Duration,
    /// The ending of the step.
    pub ending: StepEnding,
}

/// The ending of a step, as far as events show it. Events do not contain values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepEnding {
    /// The step returned a value.
    Succeeded,
    /// The operation of the step failed with this error. If the step is not recorded, the error may also come from the
    /// library.
    Failed(String),
    /// The library ended the step with this error: a time limit passed, or a guard or a hook refused.
    Stopped(String),
    /// The step's recorded outcome was reused.
    Reused,
    /// The step was skipped because its condition did not hold.
    Skipped,
    /// The step waits for an external answer.
    Waiting,
    /// The step has no outcome: its future was dropped, or its operation panicked.
    Aborted,
    /// The step has no outcome: the run was interrupted.
    Interrupted,
}

impl Invocation {
    /// Returns whether the step has this name or key.
    #[must_use]
    pub fn is(&self, name_or_key: &str) -> bool {
        *self.name == *name_or_key || *self.key == *name_or_key
    }

    /// Returns whether the outcome came from the journal.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.ending == StepEnding::Reused
    }

    /// Returns whether the step is a durable sleep that ended. A sleep has no attempts.
    pub(crate) fn is_sleep(&self) -> bool {
        self.ending == StepEnding::Succeeded && self.attempts == 0
    }

    fn begin(step: &StepId, order: usize, event: &Event) -> Self {
        let StepId { key, name } = step.clone();
        let (began, duration) = (event.at, Duration::ZERO);
        Self { name, key, order, attempts: 0, began, duration, ending: StepEnding::Interrupted }
    }
}

/// Collects the steps from the events of a run.
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
    /// The steps that have not ended, each with whether its first attempt was announced.
    open: Vec<(usize, bool)>,
    /// The step whose attempt timed out, if the previous event reported a timeout.
    timed_out: Option<Key>,
}

impl Steps {
    fn hear(&mut self, step: &StepId, event: &Event) {
        // `StepFailed` does not tell an error of the operation from a timeout. A timeout is announced by the previous
        // event of the step, `AttemptTimedOut`, possibly followed by `RetriesExhausted`, so `timed_out` carries the
        // fact over to the next event.
        let timed_out = self.timed_out.take().is_some_and(|key| key == step.key);
        match &event.kind {
            EventKind::StepMissed { .. } => {
                self.begin(step, event, false);
            }
            EventKind::StepStarted { .. } => self.start(step, event),
            EventKind::StepReused { .. } => self.end(step, event, StepEnding::Reused),
            EventKind::StepSkipped { .. } => self.end(step, event, StepEnding::Skipped),
            EventKind::StepWaiting { .. } => self.end(step, event, StepEnding::Waiting),
            EventKind::StepSucceeded { .. } => self.end(step, event, StepEnding::Succeeded),
            EventKind::StepAborted { .. } => self.end(step, event, StepEnding::Aborted),
            EventKind::StepFailed { error, .. } if timed_out => {
                self.end(step, event, StepEnding::Stopped(error.clone()));
            }
            EventKind::StepFailed { error, .. } => self.end(step, event, StepEnding::Failed(error.clone())),
            EventKind::AttemptTimedOut { .. } => self.timed_out = Some(step.key.clone()),
            EventKind::RetriesExhausted { .. } if timed_out => self.timed_out = Some(step.key.clone()),
            EventKind::StepRecorded { kind: Kind::Stopped, .. } => self.was_stopped(step),
            EventKind::HookRefused { error, .. } => {
                if let Some(last) = self.last(step) {
                    last.ending = StepEnding::Stopped(error.clone());
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

    /// Continues a step that was looked up, or begins a new one.
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

    fn end(&mut self, step: &StepId, event: &Event, ending: StepEnding) {
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
            invocation.ending = ending;
            invocation.duration = event.at.saturating_sub(invocation.began);
        }
    }

    fn attempt(&mut self, key: &Key) {
        let at = self.open.iter().rev().find(|(at, _)| self.is(*at, key));
        if let Some(invocation) = at.and_then(|(at, _)| self.all.get_mut(*at)) {
            invocation.attempts += 1;
        }
    }

    /// Corrects the ending of a step: the recorded kind shows that the library ended it.
    fn was_stopped(&mut self, step: &StepId) {
        if let Some(last) = self.last(step)
            && let StepEnding::Failed(error) = &last.ending
        {
            last.ending = StepEnding::Stopped(error.clone());
        }
    }

    fn last(&mut self, step: &StepId) -> Option<&mut Invocation> {
        self.all.iter_mut().rev().find(|invocation| invocation.key == step.key)
    }

    fn is(&self, at: usize, key: &Key) -> bool {
        self.all.get(at).is_some_and(|invocation| invocation.key == *key)
    }
}

impl fmt::Display for StepEnding {
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

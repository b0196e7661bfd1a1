use std::collections::HashSet;
use std::time::Duration;

use awaitly_core::event::{Event, EventKind, ScopeKind, StepId};
use awaitly_core::journal::Key;

use super::layout::{self, Line, without_starts};
use super::time::{Times, text_of};
use super::{Happened, RunEnding};

/// Formats a trace, one line per event.
pub(super) fn of(happened: &Happened, times: Times) -> String {
    let called = happened.attempts.iter().map(|(_, key)| key).collect();
    let mut teller = Teller { happened, called, times, lines: Vec::new(), open: Vec::new(), timed_out: None };
    happened.events.iter().for_each(|event| teller.tell(event));
    if happened.events.is_empty() {
        teller.lines.push(Line::of_run(Duration::ZERO, &RunEnding::NotBegun.to_string()));
    }
    layout::print(&without_starts(teller.lines), times)
}

struct Teller<'h> {
    happened: &'h Happened,
    /// The steps at which an attempt began. If a step succeeds without one, it is a sleep that ended.
    called: HashSet<&'h Key>,
    times: Times,
    lines: Vec<Line>,
    /// The open sagas, parallel calls, races and lists.
    open: Vec<Key>,
    /// The step whose attempt timed out and the limit, if the previous event reported a timeout.
    timed_out: Option<(Key, Duration)>,
}

impl Teller<'_> {
    fn tell(&mut self, event: &Event) {
        let timed_out = self.timed_out.take();
        let Event { at, kind, .. } = event;
        if let Some(ending) = RunEnding::of_event(kind) {
            return self.lines.push(Line::of_run(*at, &ending.to_string()));
        }
        match kind.step() {
            Some(step) if self.happened.keeps_book(&step.key) => {}
            Some(step) => self.tell_of_step(*at, step, kind, timed_out),
            None => self.tell_of_several(*at, kind),
        }
    }

    fn tell_of_step(
        &mut self,
        at: Duration,
        step: &StepId,
        kind: &EventKind,
        timed_out: Option<(Key, Duration)>,
    ) {
        let timed_out = timed_out.filter(|(key, _)| *key == step.key);
        let why = |error: &str| match timed_out {
            Some((_, after)) => format!("timed out after {}", text_of(after)),
            None => format!("failed: {error}"),
        };
        let said = match kind {
            EventKind::StepStarted { .. } => "started".to_owned(),
            EventKind::StepReused { .. } => "reused".to_owned(),
            EventKind::StepWaiting { .. } => "waits for an answer".to_owned(),
            EventKind::StepSkipped { reason: None, .. } => "skipped".to_owned(),
            EventKind::StepSkipped { reason: Some(reason), .. } => format!("skipped: {reason}"),
            EventKind::StepSucceeded { .. } if !self.called.contains(&step.key) => "slept".to_owned(),
            EventKind::StepSucceeded { attempt, duration, .. } => {
                format!("succeeded{}{}", in_attempt(*attempt), self.took(*duration))
            }
            EventKind::StepFailed { attempt, error, .. } => in_attempt_before(*attempt, &why(error)),
            EventKind::StepAborted { attempt, duration, .. } => {
                format!("aborted{}{}", in_attempt(*attempt), self.took(*duration))
            }
            EventKind::RetryScheduled { attempt, max_attempts, delay, error, .. } => {
                let of =
                    if *max_attempts == u32::MAX { String::new() } else { format!(" of {max_attempts}") };
                format!("attempt {attempt}{of} {}; {}", why(error), self.next_in(*delay))
            }
            EventKind::HookRefused { error, .. } => format!("the hook after it refused: {error}"),
            EventKind::AttemptTimedOut { after, .. } => {
                self.timed_out = Some((step.key.clone(), *after));
                return;
            }
            EventKind::RetriesExhausted { .. } => {
                self.timed_out = timed_out;
                return;
            }
            _ => return,
        };
        let is_start = matches!(kind, EventKind::StepStarted { .. });
        let name = Key::from(step.key.trim_start_matches('~').to_owned());
        self.line(at, self.open.len(), "", &name, &said, is_start);
    }

    fn tell_of_several(&mut self, at: Duration, kind: &EventKind) {
        match kind {
            EventKind::RunStarted { recorded, .. } if *recorded > 0 => {
                let outcomes = if *recorded == 1 { "outcome" } else { "outcomes" };
                self.lines.push(Line::of_run(at, &format!("the run resumes with {recorded} {outcomes}")));
            }
            EventKind::HookRefused { step: None, error, .. } => {
                self.lines.push(Line::of_run(at, &format!("the hook before the run refused: {error}")));
            }
            EventKind::ScopeStarted { scope, kind } => self.begin(at, scope, scope, name_of(*kind)),
            EventKind::ScopeEnded { scope, winner, duration, .. } => {
                let ended =
                    winner.map_or_else(|| "ended".to_owned(), |winner| format!("call {} won", winner + 1));
                self.end(at, scope, scope, &format!("{ended}{}", self.took(*duration)));
            }
            EventKind::SagaStarted { saga } => self.begin(at, saga, &name_of_saga(saga), "begins"),
            EventKind::SagaSucceeded { saga, .. } => self.end(at, saga, &name_of_saga(saga), "stays"),
            EventKind::SagaFailed { saga, error, .. } => {
                self.within(at, saga, &name_of_saga(saga), &format!("failed: {error}"));
            }
            EventKind::UndoStarted { saga, steps } => {
                let of = if *steps == 1 { "step" } else { "steps" };
                self.within(at, saga, &name_of_saga(saga), &format!("undoes {steps} {of}"));
            }
            EventKind::UndoEnded { saga, failed: 0, .. } => self.end(at, saga, &name_of_saga(saga), "undone"),
            EventKind::UndoEnded { saga, failed, .. } => {
                self.end(at, saga, &name_of_saga(saga), &format!("{failed} could not be undone"));
            }
            _ => {}
        }
    }

    fn begin(&mut self, at: Duration, key: &Key, name: &Key, said: &str) {
        self.line(at, self.open.len(), "┌ ", name, said, false);
        self.open.push(key.clone());
    }

    fn within(&mut self, at: Duration, key: &Key, name: &Key, said: &str) {
        let depth = self.open.iter().rposition(|open| open == key).unwrap_or(self.open.len());
        self.line(at, depth, "├ ", name, said, false);
    }

    fn end(&mut self, at: Duration, key: &Key, name: &Key, said: &str) {
        let depth = self.open.iter().rposition(|open| open == key);
        if let Some(depth) = depth {
            self.open.remove(depth);
        }
        self.line(at, depth.unwrap_or(self.open.len()), "└ ", name, said, false);
    }

    fn line(&mut self, at: Duration, depth: usize, branch: &str, name: &Key, said: &str, is_start: bool) {
        let drawn = format!("{}{branch}{name}", "│ ".repeat(depth));
        self.lines.push(Line::of_step(at, drawn, said, is_start));
    }

    fn took(&self, duration: Duration) -> String {
        if duration.is_zero() || self.times == Times::Hidden {
            return String::new();
        }
        format!(", took {}", text_of(duration))
    }

    fn next_in(&self, delay: Duration) -> String {
        match self.times {
            Times::Shown if delay.is_zero() => "next at once".to_owned(),
            Times::Shown => format!("next in {}", text_of(delay)),
            Times::Hidden => "another one follows".to_owned(),
        }
    }
}

fn in_attempt(attempt: u32) -> String {
    if attempt <= 1 { String::new() } else { format!(" in attempt {attempt}") }
}

/// Inserts the attempt before the error, as in `failed in attempt 3: declined`.
fn in_attempt_before(attempt: u32, why: &str) -> String {
    match why.split_once(": ") {
        Some((failed, error)) => format!("{failed}{}: {error}", in_attempt(attempt)),
        None => format!("{why}{}", in_attempt(attempt)),
    }
}

const fn name_of(kind: ScopeKind) -> &'static str {
    match kind {
        ScopeKind::Parallel => "parallel",
        ScopeKind::Race => "race",
        ScopeKind::Each => "each",
    }
}

/// Returns the display name of a saga. Its key is the key under which its undo is recorded.
fn name_of_saga(saga: &Key) -> Key {
    Key::from(saga.replacen("undo", "saga", 1))
}

//! The observations of one case over all its processes: acknowledged records, requested steps and effects.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::journal::{Key, Record};
use awaitly_core::store::{Lease, RunId};

use tokio::time::Instant;

use super::finding::Finding;
use crate::keys::{is_notice, outer_keys};

/// The precision with which a store keeps the end of a lease.
const SLACK: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<Arc<str>, RunNotes>,
    effects: Vec<Effect>,
    /// The effects that were undone.
    undone: Vec<Effect>,
    /// The idempotency keys of all effects, each with the number of its run.
    done: HashSet<(usize, Box<str>)>,
    findings: Vec<Finding>,
    /// The step that began last.
    last_step: Option<Key>,
}

/// The observations of one run, under the name that the test gave it.
#[derive(Debug, Default, Clone)]
pub(super) struct RunNotes {
    /// The origin of the run.
    origin: Origin,
    /// The newest token, and the moment until which its owner holds the run.
    token: u64,
    held_until: Option<Instant>,
    /// The keys of the records that the store acknowledged.
    acknowledged: Vec<Key>,
    /// The keys of the questions that were asked.
    questions: Vec<Key>,
    /// The write that a process had prepared when it died, with its lease.
    late: Option<(Lease, Record)>,
    /// The names of all requested steps, by key.
    names: BTreeMap<Key, Key>,
    /// The steps that the latest execution of the body found recorded.
    reused: BTreeSet<Key>,
    /// The concurrent scopes that the body has begun.
    scopes: Vec<Key>,
    open_scopes: usize,
    running: BTreeSet<Key>,
    writing: usize,
    unanswered: Option<Unanswered>,
    /// The steps recorded before a retry began anew; the body does not have to ask for them.
    past: HashSet<Key>,
    /// The step or question that the latest execution of the body did not ask for.
    not_requested: Option<Key>,
}

/// The origin of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// A process opened it.
    #[default]
    Process,
    /// A client or a schedule submitted it.
    Start,
    /// Another run submitted it.
    Child,
}

/// A write of a step that the store did not answer.
#[derive(Debug, Clone)]
struct Unanswered {
    step: Key,
    /// Whether no other work was in flight. If so, a later step proves that the body continued despite the failure.
    alone: bool,
}

/// An effect outside the workflow.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    /// The number of the run that caused it.
    pub(super) number: usize,
    pub(super) what: Box<str>,
    pub(super) key: Option<Box<str>>,
    /// The step that caused it, if any.
    pub(super) step: Option<Key>,
    /// The step that began last before it.
    pub(super) after: Option<Key>,
    /// Whether it undoes an earlier effect with this description.
    pub(super) undoes: bool,
}

impl RunNotes {
    /// Returns the name of the step with this key.
    pub(super) fn name<'k>(&'k self, key: &'k Key) -> &'k Key {
        self.names.get(key).unwrap_or(key)
    }

    /// Returns a recorded step or an asked question that the body, when it last returned, had not asked for.
    pub(super) const fn not_requested(&self) -> Option<&Key> {
        self.not_requested.as_ref()
    }

    /// Returns whether the body may omit this key. It may if the key lies inside a recorded step, records a
    /// notification about a question, predates a retry that began anew, or belongs to concurrent steps of which one
    /// failed.
    fn is_excused(&self, key: &Key, a_value: bool) -> bool {
        let is_question = |step: &str| self.questions.iter().any(|key| key.as_str() == step);
        let is_inside =
            || outer_keys(key).iter().any(|outer| self.reused.iter().any(|key| key.as_str() == *outer));
        let is_item = |scope: &Key| {
            key.strip_prefix(scope.as_str()).is_some_and(|rest| rest.starts_with(['[', '.', '/']))
        };
        self.past.contains(key)
            || *key == Key::RUN_RETRIES
            || is_notice(key, is_question)
            || is_inside()
            || (!a_value && self.scopes.iter().any(is_item))
    }
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_run<T>(&self, run: &Arc<str>, change: impl FnOnce(&mut RunNotes) -> T) -> T {
        let mut state = self.lock();
        match state.runs.get_mut(run) {
            Some(notes) => change(notes),
            None => change(state.runs.entry(Arc::clone(run)).or_default()),
        }
    }

    // Calls from the store.

    /// Notes that a run is opened. Returns whether it is opened for the first time.
    pub(super) fn opened(&self, run: &Arc<str>) -> bool {
        let mut state = self.lock();
        let is_new = !state.runs.contains_key(run);
        state.runs.entry(Arc::clone(run)).or_default();
        is_new
    }

    /// Notes that a run was submitted. Returns whether it is known for the first time.
    pub(super) fn submitted(&self, run: &Arc<str>, origin: Origin) -> bool {
        let is_new = self.opened(run);
        if is_new {
            self.with_run(run, |run| run.origin = origin);
        }
        is_new
    }

    /// Returns the origin of a run.
    pub(super) fn origin(&self, run: &Arc<str>) -> Origin {
        self.lock().runs.get(run).map(|run| run.origin).unwrap_or_default()
    }

    /// Returns the runs that clients and schedules have submitted.
    pub(super) fn started(&self) -> Vec<Arc<str>> {
        let state = self.lock();
        let started = state.runs.iter().filter(|(_, notes)| notes.origin == Origin::Start);
        started.map(|(run, _)| Arc::clone(run)).collect()
    }

    /// Notes that an owner took the lease of a run until this moment, if it is known. Returns `false` if the lease is
    /// not newer than the last one, or the last owner holds it still.
    pub(super) fn taken(&self, run: &Arc<str>, token: u64, until: Option<Instant>) -> bool {
        self.with_run(run, |run| {
            let is_held = run.held_until.is_some_and(|until| until > Instant::now() + SLACK);
            let is_free = token > run.token && !is_held;
            (run.token, run.held_until) = (token, until);
            is_free
        })
    }

    /// Notes that the owner with this token holds the run until this moment.
    pub(super) fn renewed(&self, run: &Arc<str>, token: u64, until: Option<Instant>) {
        self.with_run(run, |run| {
            if run.token == token {
                run.held_until = until;
            }
        });
    }

    /// Notes that the lease of a run is free, or may be.
    pub(super) fn freed(&self, run: &Arc<str>) {
        self.with_run(run, |run| run.held_until = None);
    }

    /// Notes that the run began anew, with an empty journal.
    pub(super) fn restarted(&self, run: &Arc<str>) {
        self.with_run(run, |run| {
            run.acknowledged.clear();
            run.questions.clear();
            run.past.clear();
            run.held_until = None;
        });
    }

    /// Notes that the store acknowledged a record.
    pub(super) fn acknowledged(&self, run: &Arc<str>, key: Key) {
        self.with_run(run, |run| run.acknowledged.push(key));
    }

    /// Notes that a question was asked.
    pub(super) fn questioned(&self, run: &Arc<str>, key: Key) {
        self.with_run(run, |run| run.questions.push(key));
    }

    /// Notes that a run at rest continues. A retry passes the keys of records to drop; the store may lose these from
    /// now on, and the body does not have to ask for the remaining ones.
    pub(super) fn revived(&self, run: &Arc<str>, drop: &[Key]) {
        self.with_run(run, |run| {
            run.acknowledged.retain(|key| !drop.contains(key));
            if !drop.is_empty() {
                run.past.extend(run.acknowledged.iter().cloned());
            }
        });
    }

    /// Notes that the journal was replaced, or that it may have been.
    pub(super) fn rewritten(&self, run: &Arc<str>, keys: impl IntoIterator<Item = Key>) {
        self.with_run(run, |run| run.acknowledged = keys.into_iter().collect());
    }

    /// Notes that a process died before this write, which may still reach the store later.
    pub(super) fn late(&self, run: &Arc<str>, lease: Lease, record: Record) {
        self.with_run(run, |run| run.late = Some((lease, record)));
    }

    pub(super) fn take_late(&self, run: &Arc<str>) -> Option<(Lease, Record)> {
        self.lock().runs.get_mut(run)?.late.take()
    }

    /// Counts a write of the run that begins (`more`) or ends.
    pub(super) fn writes(&self, run: &Arc<str>, more: bool) {
        self.with_run(run, |run| {
            run.writing = if more { run.writing + 1 } else { run.writing.saturating_sub(1) };
        });
    }

    /// Checks that the store still holds each record that it acknowledged, once.
    pub(super) fn check(&self, run: &Arc<str>, records: &[Record]) {
        let mut state = self.lock();
        let (Some(notes), Ok(id)) = (state.runs.get(run), RunId::new(Arc::clone(run))) else { return };
        let mut found = HashSet::with_capacity(records.len());
        let twice = records.iter().find(|record| !found.insert(&record.key));
        let lost = notes.acknowledged.iter().find(|key| !found.contains(key));
        let findings = [
            twice.map(|record| Finding::RecordedTwice { run: id.clone(), key: record.key.clone() }),
            lost.map(|key| Finding::RecordLost { run: id, key: key.clone() }),
        ];
        state.findings.extend(findings.into_iter().flatten());
    }

    // Calls from the body.

    /// Notes that the body is called.
    pub(super) fn body_begins(&self, run: &Arc<str>) {
        self.with_run(run, |run| {
            run.reused.clear();
            run.scopes.clear();
            run.running.clear();
            run.open_scopes = 0;
            run.unanswered = None;
        });
    }

    /// Notes that the body returned. `knows` returns whether the body asked for the key of a record or question.
    pub(super) fn body_returned(&self, run: &Arc<str>, a_value: bool, knows: impl Fn(&str) -> bool) {
        self.with_run(run, |run| {
            let mut keys = run.acknowledged.iter().chain(&run.questions);
            run.not_requested = keys.find(|key| !knows(key) && !run.is_excused(key, a_value)).cloned();
        });
    }

    /// Notes that the run ended or stopped. Steps that begin later do not count as continuing after a failure.
    pub(super) fn run_ends(&self, run: &Arc<str>) {
        self.with_run(run, |run| run.unanswered = None);
    }

    /// Notes that the body asks for a step, and whether the step is recorded.
    pub(super) fn asked(&self, run: &Arc<str>, key: &Key, name: &Key, is_recorded: bool) {
        self.with_run(run, |run| {
            if !run.names.contains_key(key) {
                run.names.insert(key.clone(), name.clone());
            }
            if is_recorded {
                run.reused.insert(key.clone());
            }
        });
    }

    pub(super) fn scope_begins(&self, run: &Arc<str>, scope: &Key) {
        self.with_run(run, |run| {
            run.open_scopes += 1;
            run.scopes.push(scope.clone());
        });
    }

    pub(super) fn scope_ends(&self, run: &Arc<str>) {
        self.with_run(run, |run| run.open_scopes = run.open_scopes.saturating_sub(1));
    }

    pub(super) fn step_begins(&self, run: &Arc<str>, key: &Key) {
        let mut state = self.lock();
        state.last_step = Some(key.clone());
        if let Some(run) = state.runs.get_mut(run) {
            run.running.insert(key.clone());
        }
    }

    pub(super) fn step_ends(&self, run: &Arc<str>, key: &Key) {
        self.with_run(run, |run| run.running.remove(key));
    }

    /// Notes that the store did not answer a write of the step.
    pub(super) fn not_answered(&self, run: &Arc<str>, step: &Key) {
        self.with_run(run, |run| {
            let is_outer = |key: &Key| key == step || outer_keys(step).contains(&key.as_str());
            let alone = run.open_scopes == 0 && run.writing <= 1 && run.running.iter().all(is_outer);
            run.unanswered = Some(Unanswered { step: step.clone(), alone });
        });
    }

    /// Returns the step after whose failure the body continued, if any.
    pub(super) fn continued_after(&self, run: &Arc<str>) -> Option<Key> {
        let state = self.lock();
        let unanswered = state.runs.get(run)?.unanswered.as_ref().filter(|unanswered| unanswered.alone)?;
        Some(unanswered.step.clone())
    }

    // Effects outside the workflow.

    /// Notes an effect. Returns `false` if its idempotency key was used before.
    pub(super) fn effect(&self, effect: Effect) -> bool {
        let mut state = self.lock();
        if effect.key.as_ref().is_some_and(|key| !state.done.insert((effect.number, key.clone()))) {
            return false;
        }
        let after = state.last_step.clone();
        let effect = Effect { after, ..effect };
        if effect.undoes {
            state.undone.push(effect);
        } else {
            state.effects.push(effect);
        }
        true
    }

    pub(super) fn undone(&self) -> Vec<Effect> {
        self.lock().undone.clone()
    }

    pub(super) fn effects(&self) -> Vec<Effect> {
        self.lock().effects.clone()
    }

    pub(super) fn last_step(&self) -> Option<Key> {
        self.lock().last_step.clone()
    }

    // Findings.

    pub(super) fn find(&self, finding: Finding) {
        let mut state = self.lock();
        if !state.findings.contains(&finding) {
            state.findings.push(finding);
        }
    }

    pub(super) fn take_findings(&self) -> Vec<Finding> {
        std::mem::take(&mut self.lock().findings)
    }

    pub(super) fn runs(&self) -> Vec<(Arc<str>, RunNotes)> {
        self.lock().runs.iter().map(|(run, notes)| (Arc::clone(run), notes.clone())).collect()
    }
}

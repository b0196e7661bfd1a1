//! What happened in one case, over all of its processes: what the store acknowledged, what was asked for, and the
//! effects.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::journal::{Key, Record};
use awaitly_core::store::{Lease, RunId};

use super::finding::Finding;
use crate::keys::{is_notice, outer_keys};

#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<Arc<str>, RunNotes>,
    effects: Vec<Effect>,
    /// Those that were taken back.
    undone: Vec<Effect>,
    /// The idempotency keys of all of them, with which of the runs at once gave them.
    done: HashSet<(usize, Box<str>)>,
    findings: Vec<Finding>,
    /// The step that began last.
    last_step: Option<Key>,
}

/// What is known of a run, as the test calls it.
#[derive(Debug, Default, Clone)]
pub(super) struct RunNotes {
    /// The keys of the records that the store has acknowledged.
    acknowledged: Vec<Key>,
    /// The keys of the questions that were asked.
    questions: Vec<Key>,
    /// What a process was about to write when it died, and under which lease.
    late: Option<(Lease, Record)>,
    /// The names of all steps that were asked for, by their keys.
    names: BTreeMap<Key, Key>,
    /// What the body that was called last has found recorded.
    reused: BTreeSet<Key>,
    /// The scopes of several steps at once that it has begun.
    scopes: Vec<Key>,
    open_scopes: usize,
    running: BTreeSet<Key>,
    writing: usize,
    unanswered: Option<Unanswered>,
    /// What was recorded before a retry began anew: nobody need ask for it.
    past: HashSet<Key>,
    /// What the body that returned last does not know.
    forgotten: Option<Key>,
}

/// A write of a step that the store gave no answer to.
#[derive(Debug, Clone)]
struct Unanswered {
    step: Key,
    /// Nothing else was under way: what begins after it begins in spite of it.
    alone: bool,
}

/// Something that happened outside.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    /// Which of the runs at once made it.
    pub(super) number: usize,
    pub(super) what: Box<str>,
    pub(super) key: Option<Box<str>>,
    /// The step that made it, if one did.
    pub(super) step: Option<Key>,
    /// The step that began last before it.
    pub(super) after: Option<Key>,
    /// Whether it takes back an effect of this name.
    pub(super) undoes: bool,
}

impl RunNotes {
    /// What the step with this key is called.
    pub(super) fn name<'k>(&'k self, key: &'k Key) -> &'k Key {
        self.names.get(key).unwrap_or(key)
    }

    /// A step, or a question, that was recorded and that the body, when it returned last, knew nothing of.
    pub(super) const fn forgotten(&self) -> Option<&Key> {
        self.forgotten.as_ref()
    }

    /// Whether it is no wonder that the body does not know it: it is inside of a step that is recorded, tells of a
    /// question, belongs to what a retry began anew, or to several at once of which one has failed.
    fn is_excused(&self, key: &Key, a_value: bool) -> bool {
        let is_question = |step: &str| self.questions.iter().any(|key| key.as_str() == step);
        let is_inside =
            || outer_keys(key).iter().any(|outer| self.reused.iter().any(|key| key.as_str() == *outer));
        let is_item = |scope: &Key| {
            key.strip_prefix(scope.as_str()).is_some_and(|rest| rest.starts_with(['[', '.', '/']))
        };
        self.past.contains(key)
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

    // The store.

    /// A run is opened. Says whether that is for the first time.
    pub(super) fn opened(&self, run: &Arc<str>) -> bool {
        let mut state = self.lock();
        let is_new = !state.runs.contains_key(run);
        state.runs.entry(Arc::clone(run)).or_default();
        is_new
    }

    /// The store has acknowledged a record.
    pub(super) fn acknowledged(&self, run: &Arc<str>, key: Key) {
        self.with_run(run, |run| run.acknowledged.push(key));
    }

    /// A question was asked.
    pub(super) fn questioned(&self, run: &Arc<str>, key: Key) {
        self.with_run(run, |run| run.questions.push(key));
    }

    /// A run goes on that had come to rest. Where it is a retry, these records may be gone from now on, and the others
    /// need not be asked for.
    pub(super) fn revived(&self, run: &Arc<str>, drop: &[Key]) {
        self.with_run(run, |run| {
            run.acknowledged.retain(|key| !drop.contains(key));
            if !drop.is_empty() {
                run.past.extend(run.acknowledged.iter().cloned());
            }
        });
    }

    /// The journal is, or may be, another one from now on.
    pub(super) fn rewritten(&self, run: &Arc<str>, keys: impl IntoIterator<Item = Key>) {
        self.with_run(run, |run| run.acknowledged = keys.into_iter().collect());
    }

    /// A process died before this write, which may reach the store later than it should.
    pub(super) fn late(&self, run: &Arc<str>, lease: Lease, record: Record) {
        self.with_run(run, |run| run.late = Some((lease, record)));
    }

    pub(super) fn take_late(&self, run: &Arc<str>) -> Option<(Lease, Record)> {
        self.lock().runs.get_mut(run)?.late.take()
    }

    /// So many writes of the run more, or fewer, are on their way.
    pub(super) fn writes(&self, run: &Arc<str>, more: bool) {
        self.with_run(run, |run| {
            run.writing = if more { run.writing + 1 } else { run.writing.saturating_sub(1) };
        });
    }

    /// Compares what the store has with what it has acknowledged.
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

    // The body.

    /// The body is called.
    pub(super) fn body_begins(&self, run: &Arc<str>) {
        self.with_run(run, |run| {
            run.reused.clear();
            run.scopes.clear();
            run.running.clear();
            run.open_scopes = 0;
            run.unanswered = None;
        });
    }

    /// The body has returned. `knows`: whether it knows the key of a record or of a question.
    pub(super) fn body_returned(&self, run: &Arc<str>, a_value: bool, knows: impl Fn(&str) -> bool) {
        self.with_run(run, |run| {
            let mut keys = run.acknowledged.iter().chain(&run.questions);
            run.forgotten = keys.find(|key| !knows(key) && !run.is_excused(key, a_value)).cloned();
        });
    }

    /// The run is over, or has stopped: what begins after that is no going on.
    pub(super) fn run_ends(&self, run: &Arc<str>) {
        self.with_run(run, |run| run.unanswered = None);
    }

    /// The body asks for a step, which is recorded or not.
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

    /// The store gave no answer to a write of the step.
    pub(super) fn not_answered(&self, run: &Arc<str>, step: &Key) {
        self.with_run(run, |run| {
            let is_outer = |key: &Key| key == step || outer_keys(step).contains(&key.as_str());
            let alone = run.open_scopes == 0 && run.writing <= 1 && run.running.iter().all(is_outer);
            run.unanswered = Some(Unanswered { step: step.clone(), alone });
        });
    }

    /// The step whose failure the body has gone on after, if it has.
    pub(super) fn went_on_after(&self, run: &Arc<str>) -> Option<Key> {
        let state = self.lock();
        let unanswered = state.runs.get(run)?.unanswered.as_ref().filter(|unanswered| unanswered.alone)?;
        Some(unanswered.step.clone())
    }

    // What happens outside.

    /// Something happened. `false`: it was done under its idempotency key before.
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

    // What was found.

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

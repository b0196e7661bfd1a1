//! What happened in one case, over all of its processes: what the store acknowledged, what was asked for, and the
//! effects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::journal::{Key, Record};
use awaitly_core::store::{Lease, RunId};

use super::finding::Finding;

#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<Arc<str>, RunNotes>,
    effects: Vec<Effect>,
    findings: Vec<Finding>,
    /// The step that began last.
    last_step: Option<Key>,
}

/// What is known of a run.
#[derive(Debug, Default, Clone)]
pub(super) struct RunNotes {
    /// The keys of the records that the store has acknowledged.
    acknowledged: Vec<Key>,
    /// What a process was about to write when it died, and under which lease.
    late: Option<(Lease, Record)>,
    /// The keys that the body has asked for since it was called last, with the names of their steps.
    pub(super) asked: HashMap<Key, Key>,
    /// The scopes of its races.
    pub(super) races: Vec<Key>,
    /// The names of all steps that were asked for.
    pub(super) names: HashMap<Key, Key>,
}

/// Something that happened outside.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) what: Box<str>,
    pub(super) key: Option<Box<str>>,
    /// The step that made it, if one did.
    pub(super) step: Option<Key>,
    /// The step that began last before it.
    pub(super) after: Option<Key>,
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

    /// The store has acknowledged a record.
    pub(super) fn acknowledged(&self, run: &Arc<str>, key: Key) {
        self.with_run(run, |run| run.acknowledged.push(key));
    }

    /// These records may be gone from now on. `None`: all of them.
    pub(super) fn dropped(&self, run: &Arc<str>, keys: Option<&[Key]>) {
        self.with_run(run, |run| match keys {
            None => run.acknowledged.clear(),
            Some(keys) => run.acknowledged.retain(|key| !keys.contains(key)),
        });
    }

    /// A process died before this write, which may reach the store later than it should.
    pub(super) fn late(&self, run: &Arc<str>, lease: Lease, record: Record) {
        self.with_run(run, |run| run.late = Some((lease, record)));
    }

    pub(super) fn take_late(&self, run: &Arc<str>) -> Option<(Lease, Record)> {
        self.lock().runs.get_mut(run)?.late.take()
    }

    /// Compares what the store has with what it has acknowledged.
    pub(super) fn check(&self, run: &Arc<str>, records: &[Record]) {
        let mut state = self.lock();
        let Some(notes) = state.runs.get(run) else { return };
        let Ok(id) = RunId::new(Arc::clone(run)) else { return };
        let mut found = HashSet::with_capacity(records.len());
        let twice = records.iter().find(|record| !found.insert(&record.key));
        let lost = notes.acknowledged.iter().find(|key| !found.contains(key));
        let findings = [
            twice.map(|record| Finding::RecordedTwice { run: id.clone(), key: record.key.clone() }),
            lost.map(|key| Finding::RecordLost { run: id, key: key.clone() }),
        ];
        state.findings.extend(findings.into_iter().flatten());
    }

    /// The body is called.
    pub(super) fn body_begins(&self, run: &Arc<str>) {
        self.with_run(run, |run| run.asked.clear());
    }

    /// The body asks for a step.
    pub(super) fn asked(&self, run: &Arc<str>, key: &Key, name: &Key) {
        self.with_run(run, |run| {
            run.asked.insert(key.clone(), name.clone());
            run.names.insert(key.clone(), name.clone());
        });
    }

    pub(super) fn race(&self, run: &Arc<str>, scope: &Key) {
        self.with_run(run, |run| run.races.push(scope.clone()));
    }

    pub(super) fn step_begins(&self, key: &Key) {
        self.lock().last_step = Some(key.clone());
    }

    /// Something happened outside. `false`: it was done under this idempotency key before.
    pub(super) fn effect(&self, what: Box<str>, key: Option<Box<str>>, step: Option<Key>) -> bool {
        let mut state = self.lock();
        let known = key.is_some() && state.effects.iter().any(|effect| effect.key == key);
        if !known {
            let after = state.last_step.clone();
            state.effects.push(Effect { what, key, step, after });
        }
        !known
    }

    pub(super) fn effects(&self) -> Vec<Effect> {
        self.lock().effects.clone()
    }

    pub(super) fn last_step(&self) -> Option<Key> {
        self.lock().last_step.clone()
    }

    pub(super) fn find(&self, finding: Finding) {
        let mut state = self.lock();
        if !state.findings.contains(&finding) {
            state.findings.push(finding);
        }
    }

    pub(super) fn take_findings(&self) -> Vec<Finding> {
        std::mem::take(&mut self.lock().findings)
    }

    /// The runs that were opened, as the test calls them.
    pub(super) fn runs(&self) -> Vec<(Arc<str>, RunNotes)> {
        self.lock().runs.iter().map(|(run, notes)| (Arc::clone(run), notes.clone())).collect()
    }
}

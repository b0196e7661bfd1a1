//! Compares the outcome of a case with the outcome of the calm one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use awaitly_core::journal::{Key, Kind, Record};
use awaitly_core::store::{RunId, StoredRun};

use super::cancelled;
use super::case::Played;
use super::compare::{effects, results};
use super::finding::Finding;
use super::notes::RunNotes;

/// Returns the differences of `crashed` from `calm`, and the findings made during the case.
pub(super) fn judge<T, E>(calm: &Played<T, E>, crashed: &Played<T, E>, values: bool) -> Vec<Finding>
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    if crashed.cancelled.is_some() {
        return cancelled::judge(calm, crashed);
    }
    let mut findings = crashed.findings.clone();
    findings.extend(effects(&calm.effects, &crashed.effects));
    findings.extend(runs(calm, crashed, values));
    findings.extend(results(calm, crashed));
    findings
}

fn runs<T, E>(calm: &Played<T, E>, crashed: &Played<T, E>, values: bool) -> Vec<Finding> {
    let names: BTreeSet<_> = calm.runs.keys().chain(crashed.runs.keys()).collect();
    let compared = names.into_iter().filter_map(|run| {
        let id = RunId::new(Arc::clone(run)).ok()?;
        Some(of_run(&id, calm.runs.get(run), crashed.runs.get(run), values))
    });
    compared.flatten().collect()
}

type Run = (RunNotes, Option<StoredRun>);

fn of_run(run: &RunId, calm: Option<&Run>, crashed: Option<&Run>, values: bool) -> Vec<Finding> {
    let status = |of: Option<&Run>| of.and_then(|(_, stored)| stored.as_ref()).map(|run| run.header.status);
    let mut findings = Vec::new();
    findings.extend(crashed.and_then(|(notes, _)| not_requested(run, notes)));
    let (missing, extra) = differ(&steps(calm), &steps(crashed));
    if !missing.is_empty() || !extra.is_empty() {
        findings.push(Finding::Steps { run: run.clone(), missing, extra });
    }
    let (missing, extra) = differ(&questions(calm), &questions(crashed));
    if !missing.is_empty() || !extra.is_empty() {
        findings.push(Finding::Questions { run: run.clone(), missing, extra });
    }
    if status(calm) != status(crashed) {
        findings.push(Finding::Status { run: run.clone(), calm: status(calm), crashed: status(crashed) });
    }
    if values {
        findings.extend(changed(run, calm, crashed));
    }
    findings
}

fn not_requested(run: &RunId, notes: &RunNotes) -> Option<Finding> {
    let key = notes.not_requested()?;
    Some(Finding::NotRequested { run: run.clone(), key: key.clone(), name: notes.name(key).clone() })
}

/// Counts the recorded steps by name and kind of outcome.
fn steps(run: Option<&Run>) -> BTreeMap<(Key, u8), usize> {
    let Some((notes, Some(stored))) = run else { return BTreeMap::new() };
    counted(stored.records.iter().map(|Record { key, outcome, .. }| {
        let kind = match outcome.kind() {
            Kind::Value => 0,
            Kind::Failed => 1,
            Kind::Stopped => 2,
        };
        (notes.name(key).clone(), kind)
    }))
}

/// Counts the open questions by name.
fn questions(run: Option<&Run>) -> BTreeMap<(Key, u8), usize> {
    let Some((notes, Some(stored))) = run else { return BTreeMap::new() };
    counted(stored.waits.iter().map(|entry| (notes.name(&entry.key).clone(), 0)))
}

fn counted(names: impl Iterator<Item = (Key, u8)>) -> BTreeMap<(Key, u8), usize> {
    let mut all = BTreeMap::new();
    for name in names {
        *all.entry(name).or_default() += 1;
    }
    all
}

/// Returns the names that only the first contains, and those that only the second contains.
fn differ(calm: &BTreeMap<(Key, u8), usize>, crashed: &BTreeMap<(Key, u8), usize>) -> (Vec<Key>, Vec<Key>) {
    (beyond(calm, crashed), beyond(crashed, calm))
}

fn beyond(left: &BTreeMap<(Key, u8), usize>, right: &BTreeMap<(Key, u8), usize>) -> Vec<Key> {
    let more = left.iter().filter(|(step, count)| right.get(step).is_none_or(|other| other < count));
    more.map(|((name, _), _)| name.clone()).collect()
}

fn changed(run: &RunId, calm: Option<&Run>, crashed: Option<&Run>) -> Option<Finding> {
    let (Some((_, Some(calm))), Some((_, Some(crashed)))) = (calm, crashed) else { return None };
    let before: BTreeMap<_, _> = calm.records.iter().map(|record| (&record.key, &record.outcome)).collect();
    let is_other =
        |record: &&Record| before.get(&record.key).is_some_and(|before| **before != record.outcome);
    let other = crashed.records.iter().find(is_other)?;
    Some(Finding::Value { run: run.clone(), key: other.key.clone() })
}

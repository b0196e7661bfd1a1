//! Compares what came of a case with what came of the one without an accident.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use awaitly_core::journal::{Key, Kind, Record};
use awaitly_core::store::{RunId, StoredRun};

use super::case::Played;
use super::finding::{Finding, Place};
use super::notes::{Effect, RunNotes};

/// What is wrong with `crashed`.
pub(super) fn judge<T, E>(calm: &Played<T, E>, crashed: &Played<T, E>, values: bool) -> Vec<Finding>
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    let mut findings = crashed.findings.clone();
    findings.extend(effects(&calm.effects, &crashed.effects));
    findings.extend(runs(calm, crashed, values));
    findings.extend(results(calm, crashed));
    findings
}

fn results<T: PartialEq + Debug, E: PartialEq + Debug>(
    calm: &Played<T, E>,
    crashed: &Played<T, E>,
) -> Option<Finding> {
    let mut pairs = calm.results.iter().zip(&crashed.results);
    let (calm, crashed) = pairs.find_map(|pair| match pair {
        (Some(calm), Some(crashed)) if calm != crashed => Some((calm, crashed)),
        _ => None,
    })?;
    Some(Finding::Result { calm: format!("{calm:?}"), crashed: format!("{crashed:?}") })
}

fn effects(calm: &[Effect], crashed: &[Effect]) -> Vec<Finding> {
    let (calm, crashed) = (by_what(calm), by_what(crashed));
    let whats: BTreeSet<_> = calm.keys().chain(crashed.keys()).copied().collect();
    let count = |effects: Option<&Vec<&Effect>>| effects.map_or(0, Vec::len);
    let mut findings = Vec::new();
    for what in whats {
        let (before, after) = (calm.get(what), crashed.get(what));
        let (calm, crashed) = (count(before), count(after));
        let what = what.to_owned();
        if crashed > calm {
            let place = place(after.into_iter().flatten());
            findings.push(Finding::EffectRepeated { what, calm, crashed, place });
        } else if crashed < calm {
            let place = place(before.into_iter().flatten());
            findings.push(Finding::EffectMissing { what, calm, crashed, place });
        }
    }
    findings
}

fn by_what(effects: &[Effect]) -> BTreeMap<&str, Vec<&Effect>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for effect in effects {
        all.entry(&*effect.what).or_default().push(effect);
    }
    all
}

/// Where these effects, which are the same, were made.
fn place<'a>(effects: impl Iterator<Item = &'a &'a Effect>) -> Place {
    let (mut step, mut keys, mut unkeyed) = (None, Vec::new(), false);
    for Effect { key, step: made_in, after, .. } in effects {
        let Some(made_in) = made_in else {
            return Place::Outside(after.clone());
        };
        step = Some(made_in.clone());
        match key {
            Some(key) => keys.push(key.to_string()),
            None => unkeyed = true,
        }
    }
    match step {
        None => Place::Outside(None),
        Some(step) if unkeyed => Place::StepWithoutKey(step),
        Some(step) => Place::StepWithKeys(step, keys),
    }
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
    if let Some((notes, Some(stored))) = crashed {
        findings.extend(forgotten(run, notes, &stored.records));
    }
    if status(calm) != status(crashed) {
        findings.push(Finding::Status { run: run.clone(), calm: status(calm), crashed: status(crashed) });
    }
    let (before, after) = (steps(calm), steps(crashed));
    let (missing, extra) = (beyond(&before, &after), beyond(&after, &before));
    if !missing.is_empty() || !extra.is_empty() {
        findings.push(Finding::Steps { run: run.clone(), missing, extra });
    }
    if values {
        findings.extend(changed(run, calm, crashed));
    }
    findings
}

/// Recorded steps that the body did not ask for when it was called last.
fn forgotten(run: &RunId, notes: &RunNotes, records: &[Record]) -> Option<Finding> {
    if notes.asked.is_empty() {
        return None;
    }
    let is_asked = |key: &Key| notes.asked.contains_key(key) || is_within(key, notes);
    let key = records.iter().map(|record| &record.key).find(|key| !is_asked(key))?.clone();
    let name = notes.names.get(&key).unwrap_or(&key).clone();
    Some(Finding::Forgotten { run: run.clone(), key, name })
}

/// A step inside of another one's operation is not asked for where the outer one is recorded, nor is a branch of a race
/// that is over.
fn is_within(key: &Key, notes: &RunNotes) -> bool {
    let is_inside = |(at, _): (usize, &str)| {
        let outer = key.get(..at).unwrap_or_default();
        let outer = outer.rsplit_once('@').map_or(outer, |(outer, _)| outer);
        notes.asked.contains_key(&Key::from(outer.to_owned()))
    };
    key.match_indices('/').any(is_inside) || notes.races.iter().any(|race| key.starts_with(&**race))
}

/// The names of the recorded steps, and what each ended in.
fn steps(run: Option<&Run>) -> BTreeMap<(Key, u8), usize> {
    let mut all = BTreeMap::new();
    let Some((notes, Some(stored))) = run else { return all };
    for Record { key, outcome, .. } in &stored.records {
        let name = notes.names.get(key).unwrap_or(key).clone();
        let kind = match outcome.kind() {
            Kind::Value => 0,
            Kind::Failed => 1,
            Kind::Stopped => 2,
        };
        *all.entry((name, kind)).or_default() += 1;
    }
    all
}

fn beyond(left: &BTreeMap<(Key, u8), usize>, right: &BTreeMap<(Key, u8), usize>) -> Vec<Key> {
    let more = left.iter().filter(|(step, count)| right.get(step).is_none_or(|other| other < count));
    more.map(|((name, _), _)| name.clone()).collect()
}

fn changed(run: &RunId, calm: Option<&Run>, crashed: Option<&Run>) -> Option<Finding> {
    let (Some((_, Some(calm))), Some((_, Some(crashed)))) = (calm, crashed) else { return None };
    let other = crashed.records.iter().find(|record| {
        let before = calm.records.iter().find(|calm| calm.key == record.key);
        before.is_some_and(|before| before.outcome != record.outcome)
    })?;
    Some(Finding::Value { run: run.clone(), key: other.key.clone() })
}

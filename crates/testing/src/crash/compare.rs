//! Compares the results and the effects of two cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::case::Played;
use super::finding::{Finding, Place};
use super::notes::Effect;

pub(super) fn results<T: PartialEq + Debug, E: PartialEq + Debug>(
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

pub(super) fn effects(calm: &[Effect], crashed: &[Effect]) -> Vec<Finding> {
    let (calm, crashed) = (by_what(calm), by_what(crashed));
    let whats: BTreeSet<_> = calm.keys().chain(crashed.keys()).copied().collect();
    let count = |effects: Option<&Vec<&Effect>>| effects.map_or(0, Vec::len);
    let mut findings = Vec::new();
    for what in whats {
        let (before, after) = (calm.get(&what), crashed.get(&what));
        let (calm, crashed) = (count(before), count(after));
        let what = what.1.to_owned();
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

/// By which of the runs at once made them, and what they are.
fn by_what(effects: &[Effect]) -> BTreeMap<(usize, &str), Vec<&Effect>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for effect in effects {
        all.entry((effect.number, &*effect.what)).or_default().push(effect);
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

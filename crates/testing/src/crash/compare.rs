//! Compares the results and the effects of two cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::case::Played;
use super::finding::{Cause, Finding};
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
        let effect = what.1.to_owned();
        if crashed > calm {
            let cause = cause(after.into_iter().flatten());
            findings.push(Finding::EffectRepeated { effect, calm, crashed, cause });
        } else if crashed < calm {
            let cause = cause(before.into_iter().flatten());
            findings.push(Finding::EffectMissing { effect, calm, crashed, cause });
        }
    }
    findings
}

/// Groups effects by the number of their run and their description.
fn by_what(effects: &[Effect]) -> BTreeMap<(usize, &str), Vec<&Effect>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for effect in effects {
        all.entry((effect.number, &*effect.what)).or_default().push(effect);
    }
    all
}

/// Returns the common cause of effects with one description.
fn cause<'a>(effects: impl Iterator<Item = &'a &'a Effect>) -> Cause {
    let (mut step, mut keys, mut unkeyed) = (None, Vec::new(), false);
    for Effect { key, step: made_in, after, .. } in effects {
        let Some(made_in) = made_in else {
            return Cause::Outside(after.clone());
        };
        step = Some(made_in.clone());
        match key {
            Some(key) => keys.push(key.to_string()),
            None => unkeyed = true,
        }
    }
    match step {
        None => Cause::Outside(None),
        Some(step) if unkeyed => Cause::StepWithoutKey(step),
        Some(step) => Cause::StepWithKeys(step, keys),
    }
}

//! Judges a case in which an operator cancelled the runs of a process.
//!
//! The outcome of such a case may differ from the calm one. It must satisfy the promises of a cancellation instead:
//! every run ends; either all of its work is done, or all work that can be undone is undone; and no effect happens
//! twice.
//!
//! Whether an effect can be undone is not known in advance: a test reveals it when it undoes the effect. Each case
//! therefore reports the effects it left behind, and the test judges these after it has played all cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use awaitly_core::journal::Status;
use awaitly_core::store::{RunId, StoredRun};

use super::case::Played;
use super::compare::{effects, results};
use super::finding::{Cause, Finding};
use super::notes::{Effect, RunNotes};

/// Returns the findings of `played`, except for the effects that it left behind.
pub(super) fn judge<T, E>(calm: &Played<T, E>, played: &Played<T, E>) -> Vec<Finding>
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    let mut findings = played.findings.clone();
    findings.extend(played.runs.iter().filter_map(|(run, found)| stuck(run, calm.runs.get(run), found)));
    let is_done = is_done(calm, played);
    if is_done {
        findings.extend(results(calm, played));
    }
    // If the effect has several keys, it was undone and then done again.
    let is_anew = |cause: &Cause| matches!(cause, Cause::StepWithKeys(_, keys) if keys.len() > 1);
    findings.extend(effects(&calm.effects, &played.effects).into_iter().filter(|finding| match finding {
        Finding::EffectRepeated { calm, cause, .. } => *calm > 0 && !is_anew(cause),
        _ => is_done,
    }));
    findings
}

/// Returns the effects that a case left behind if one of its runs ended as cancelled. If the step of an effect has no
/// recorded outcome, a saga does not know about the effect and cannot undo it, so such an effect does not count.
pub(super) fn left<T, E>(played: &Played<T, E>) -> BTreeSet<Box<str>> {
    let is_cancelled =
        |(_, stored): &Run| stored.as_ref().is_some_and(|run| run.header.status == Status::Cancelled);
    if !played.runs.values().any(is_cancelled) {
        return BTreeSet::new();
    }
    let stored = played.runs.values().filter_map(|(_, stored)| stored.as_ref());
    let recorded: BTreeSet<_> =
        stored.flat_map(|run| &run.records).map(|record| record.key.clone()).collect();
    // A process may die between an effect and its record. A saga does not compensate a step without a record, so only
    // effects of recorded steps, and effects outside of steps, are expected to be undone.
    let is_known = |effect: &Effect| effect.step.as_ref().is_none_or(|step| recorded.contains(step));
    let mut net = BTreeMap::<Box<str>, i64>::new();
    let done = played.effects.iter().filter(|effect| is_known(effect)).map(|effect| (effect, 1));
    for (effect, by) in done.chain(played.undone.iter().map(|effect| (effect, -1))) {
        *net.entry(effect.what.clone()).or_default() += by;
    }
    net.into_iter().filter(|(_, count)| *count > 0).map(|(what, _)| what).collect()
}

type Run = (RunNotes, Option<StoredRun>);

/// Returns a finding if a run waits although no answer or time can wake it.
fn stuck(run: &Arc<str>, calm: Option<&Run>, (_, stored): &Run) -> Option<Finding> {
    let status = |stored: &Option<StoredRun>| stored.as_ref().map(|stored| stored.header.status);
    let header = &stored.as_ref()?.header;
    let has_reason = header.wake.is_some() || stored.as_ref().is_some_and(|run| !run.waits.is_empty());
    let rests_as_always = calm.is_some_and(|(_, calm)| status(calm) == Some(header.status));
    if header.status != Status::Waiting || has_reason || rests_as_always {
        return None;
    }
    let run = RunId::new(Arc::clone(run)).ok()?;
    Some(Finding::Stuck { run, status: header.status })
}

/// Returns whether the cancellation came too late to change a run.
fn is_done<T, E>(calm: &Played<T, E>, played: &Played<T, E>) -> bool {
    let status = |runs: &BTreeMap<Arc<str>, Run>, run| {
        let stored: Option<&Run> = runs.get(run);
        stored.and_then(|(_, stored)| stored.as_ref()).map(|stored| stored.header.status)
    };
    calm.runs.keys().all(|run| status(&calm.runs, run) == status(&played.runs, run))
}

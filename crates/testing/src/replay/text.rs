//! The text report: the observations, and a next action for each finding.

use std::fmt::{self, Display};

use awaitly_core::RunError;
use similar::TextDiff;

use super::report::{End, Here, Misfit, Replay, Unasked, Undecodable, What, Why, WouldRun};

/// The minimum similarity of two keys, from 0 to 1, to suggest a rename.
const ALIKE: f32 = 0.4;

impl Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, workflow, version, .. } = self;
        let findings = self.findings();
        let verdict = if findings.is_empty() { "would resume" } else { "would not resume as it should" };
        write!(f, "run `{run}` of `{workflow}`, recorded by version {version}, {verdict}")?;
        line(f, "reused", &self.reused)?;
        line(f, "would run", self.would_run.iter().map(described))?;
        line(f, "waits at", &self.waits)?;
        line(f, "sleeps at", self.sleeps.iter().map(|sleep| &sleep.key))?;
        line(f, "passed over", &self.passed_over)?;
        line(f, "not checked", &self.unchecked)?;
        line(f, "ends", [self.ending()])?;
        findings.iter().zip(1..).try_for_each(|(finding, number)| write!(f, "\n{number}. {finding}"))?;
        self.notes().iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}

fn line<T: Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {title:<12} {}", items.join(", "))
}

fn described(step: &WouldRun) -> String {
    let WouldRun { key, name, why, here } = step;
    let key = if *why == Why::Volatile { name } else { key };
    let why = match why {
        Why::NotRecorded => "",
        Why::Failed => ", its failure is not reused",
        Why::InputChanged => ", its input changed",
        Why::Volatile => ", volatile",
    };
    let here = match here {
        Here::Stopped => "",
        Here::Given => ", given",
        Here::Dropped => ", dropped",
    };
    match format!("{why}{here}").strip_prefix(", ") {
        Some(remarks) => format!("{key} ({remarks})"),
        None => key.to_string(),
    }
}

impl Replay {
    fn ending(&self) -> String {
        match &self.end {
            End::Completed => "with a value".to_owned(),
            End::Failed(error) => format!("with the error: {error}"),
            End::Panicked(message) => format!("with a panic: {message}"),
            End::Waiting => "waiting".to_owned(),
            End::Cancelled => "cancelled".to_owned(),
            End::Refused => "refused".to_owned(),
            End::Spins(polls) => format!("never, after {polls} polls"),
            End::Rests => match self.standing() {
                Some(at) => format!("at {at}"),
                None if !self.sleeps.is_empty() => "asleep".to_owned(),
                None => "at a future that is not one of its steps".to_owned(),
            },
        }
    }

    /// Returns the steps at which the body stopped.
    fn standing(&self) -> Option<String> {
        let stopped = self.would_run.iter().filter(|step| step.here == Here::Stopped);
        let names: Vec<_> = stopped.map(|step| format!("`{}`", step.shown())).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Returns a message for each record that would be lost and each obstacle to the resume, with the next action.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings: Vec<_> = self.refused.iter().map(refusal).collect();
        findings.extend(self.undecodable.iter().map(Undecodable::finding));
        findings.extend(self.misfits.iter().map(Misfit::finding));
        findings.extend(self.never_asked.iter().map(|lost| self.never(lost)));
        findings.extend(self.not_reached.iter().map(|lost| self.not_yet(lost)));
        if let End::Spins(polls) = self.end {
            findings.push(format!(
                "the body was polled {polls} times and still wakes itself: let it wait only for steps, sleeps and \
                 answers of the run"
            ));
        }
        if self.ends_otherwise() {
            let recorded = match &self.recorded_end {
                Some(End::Completed) => "the run completed with a value",
                Some(End::Failed(_) | End::Panicked(_)) => "the run failed",
                _ => "the run had not ended",
            };
            findings.push(format!(
                "{recorded}, but with this code it ends {}: let the path through the body depend only on recorded values",
                self.ending()
            ));
        }
        findings
    }

    fn never(&self, lost: &Unasked) -> String {
        let key = &lost.key;
        match (lost.what, self.renamed(lost)) {
            (What::Skipped, _) => format!(
                "`{key}` is recorded, but its step is skipped now: let its condition depend only on recorded values"
            ),
            (What::Question, _) => format!(
                "`{key}` is an open question, but the body does not wait for its answer: to withdraw it, raise the \
                 workflow's version and add `Migration::remove(\"{key}\")`"
            ),
            (What::Outcome, Some(new)) => format!(
                "`{key}` is recorded, but the body does not ask for it, while `{new}` would run: if that is its new \
                 name, raise the workflow's version and add `Migration::rename(\"{key}\", \"{new}\")`"
            ),
            (What::Outcome, None) => format!(
                "`{key}` is recorded, but the body does not ask for it: to drop it, raise the workflow's version and add \
                 `Migration::remove(\"{key}\")`; otherwise ask for it with this key"
            ),
        }
    }

    fn not_yet(&self, lost: &Unasked) -> String {
        let key = &lost.key;
        if let (What::Outcome, Some(new)) = (lost.what, self.renamed(lost)) {
            return format!(
                "`{key}` is recorded but was not asked for, while `{new}` would run: if that is its new name, raise the \
                 workflow's version and add `Migration::rename(\"{key}\", \"{new}\")`; if `{new}` is a new step, give \
                 it a value with `ResumeCheck::value` to check the rest"
            );
        }
        if let (What::Question, Some(new)) = (lost.what, self.renamed(lost)) {
            return format!(
                "`{key}` is an open question but was not asked for, while the body waits at `{new}`: if that is its new \
                 name, raise the workflow's version and add `Migration::rename(\"{key}\", \"{new}\")`"
            );
        }
        let what = if lost.what == What::Question { "an open question" } else { "recorded" };
        match self.standing() {
            Some(at) => format!(
                "`{key}` is {what} but was not asked for before the body stopped at {at}: give a value there with \
                 `ResumeCheck::value` to check the rest"
            ),
            None => format!(
                "`{key}` is {what} but was not asked for before the body stopped: remove the obstacle, or, if it \
                 sleeps, set a later time with `ResumeCheck::at`, to check the rest"
            ),
        }
    }

    /// Returns the unrecorded step or question that is most likely this one under a new name.
    fn renamed(&self, lost: &Unasked) -> Option<&str> {
        let new = self.would_run.iter().filter(|step| step.why == Why::NotRecorded).map(|step| &*step.key);
        let asked = self.waits.iter().map(|key| &**key);
        let alike = |key: &str| TextDiff::from_chars(&*lost.key, key).ratio();
        let likely = new.chain(asked).map(|key| (alike(key), key)).filter(|(alike, _)| *alike >= ALIKE);
        likely.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, key)| key)
    }

    /// Returns remarks that do not make the report unclean.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self
            .unused
            .iter()
            .map(|step| format!("a value was given for `{step}`, but no step with that name or key ran"))
            .collect();
        if self.result_differs && !self.ends_otherwise() {
            notes.push("the body returned another result than the recorded one".to_owned());
        }
        if !self.unchecked.is_empty() {
            notes.push(
                "records inside a step that would run are checked only if its operation is called: allow that with \
                 `ResumeCheck::runs`"
                    .to_owned(),
            );
        }
        notes
    }
}

impl WouldRun {
    fn shown(&self) -> &str {
        if self.why == Why::Volatile { &self.name } else { &self.key }
    }
}

impl Undecodable {
    fn finding(&self) -> String {
        let Self { key, what, type_name, reason } = self;
        let next = match key {
            Some(key) => {
                let next = "raise the workflow's version and add";
                format!("{next} `Migration::transform(\"{key}\", ..)`, or let the type still accept it")
            }
            // Migrations change only the records of steps.
            None => "a migration cannot change it, so let the type still accept it".to_owned(),
        };
        format!("the record of {what} is no longer a `{type_name}` ({reason}): {next}")
    }
}

impl Misfit {
    fn finding(&self) -> String {
        let Self { step, given, expected } = self;
        match expected {
            Some(expected) => {
                format!(
                    "the value given for step `{step}` is a `{given}`, but the step returns a `{expected}`: give a value of that type"
                )
            }
            None => format!(
                "the value given for step `{step}` is a `{given}`, but the step's value may borrow: let its operation be \
                 called with `ResumeCheck::runs`, or build the step on the run itself"
            ),
        }
    }
}

fn refusal(error: &RunError) -> String {
    match error {
        RunError::Migration { reason, .. } => {
            format!(
                "the journal cannot be migrated, {reason}: add the migration with `Workflow::migration`, or correct it"
            )
        }
        error => error.to_string(),
    }
}

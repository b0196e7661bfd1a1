use std::fmt;

use awaitly_core::extend::stage::Misfit;
use awaitly_core::journal::Key;

use crate::seed::Advice;

/// The failure of a run whose scripts do not fit its steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ScriptError {
    /// All mismatches.
    pub problems: Vec<Problem>,
    /// The trace of the run, as [`Report::trace`](crate::Report::trace) returns it.
    pub trace: String,
    /// The seed of the run.
    pub seed: u64,
}

/// A mismatch between a script and a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A scripted value or error has another type than the step; the run was stopped.
    #[error("step `{step}`: the script gives `{given}`, but the step has `{expected}`; script that type")]
    OtherType {
        /// The step.
        step: Key,
        /// The scripted type.
        given: Box<str>,
        /// The type of the step.
        expected: Box<str>,
    },
    /// A value or an error is scripted for a step of a borrowing handle; the run was stopped.
    #[error(
        "step `{step}`: its value may borrow, so the script cannot give `{given}`; script `real()`, or build the step \
         on the run itself"
    )]
    Borrows {
        /// The step.
        step: Key,
        /// The scripted type.
        given: Box<str>,
    },
    /// An attempt has no script and operations must not be called; the run was stopped.
    #[error("step `{step}`: the attempt has no script; add one, or set `Unscripted::Run`")]
    Unscripted {
        /// The step.
        step: Key,
    },
    /// An external answer is scripted for a step that does not wait for one; the run was stopped.
    #[error("step `{step}`: it does not wait for an external answer; script `ok(..)` or `err(..)`")]
    NotAsked {
        /// The step.
        step: Key,
    },
    /// A step waits for an external answer, but its script is not an answer.
    #[error(
        "step `{step}`: it waits for an external answer and has no operation; script `answer(&..)`, `rejected(..)` or \
         `expired()`"
    )]
    NotAnswered {
        /// The step.
        step: Key,
    },
    /// A script names a durable sleep, which has no operation.
    #[error(
        "script `{script}`: a durable sleep has no operation, so its script is never played; remove it, or correct the \
         name"
    )]
    NothingToPlay {
        /// The name or key in the script.
        script: Key,
    },
    /// No step has the script's name or key.
    #[error(
        "script `{script}`: no step asked for it{}; correct the name, or remove the script",
        those(asked)
    )]
    NotAskedFor {
        /// The name or key in the script.
        script: Key,
        /// The steps that the run looked up.
        asked: Vec<Key>,
    },
    /// A script has more outcomes than there were attempts.
    #[error("script `{script}`: only {} used; remove the rest, or set `Leftovers::Allow`", used(*taken, *of))]
    LeftOver {
        /// The name or key in the script.
        script: Key,
        /// The number of used outcomes.
        taken: usize,
        /// The number of scripted outcomes.
        of: usize,
    },
    /// [`Harness::in_order`](crate::Harness::in_order) has more outcomes than there were attempts without a script.
    #[error("outcomes in order: only {} used; remove the rest, or set `Leftovers::Allow`", used(*taken, *of))]
    LeftOverInOrder {
        /// The number of used outcomes.
        taken: usize,
        /// The number of scripted outcomes.
        of: usize,
    },
}

impl Problem {
    pub(crate) fn misfit(step: Key, misfit: &Misfit) -> Self {
        match *misfit {
            Misfit::OtherType { given, expected } => {
                Self::OtherType { step, given: given.into(), expected: expected.into() }
            }
            Misfit::Borrows { given } => Self::Borrows { step, given: given.into() },
            Misfit::Unscripted => Self::Unscripted { step },
        }
    }
}

fn those(asked: &[Key]) -> String {
    if asked.is_empty() {
        return "; the run had no steps".to_owned();
    }
    let names: Vec<_> = asked.iter().map(|step| format!("`{step}`")).collect();
    format!("; the steps were {}", names.join(", "))
}

fn used(taken: usize, of: usize) -> String {
    let were = if taken == 1 { "was" } else { "were" };
    format!("{taken} of its {of} outcomes {were}")
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the script does not fit the run:")?;
        for problem in &self.problems {
            write!(f, "\n- {problem}")?;
        }
        write!(f, "\n\ntrace:\n{}\n{}", self.trace, Advice(self.seed))
    }
}

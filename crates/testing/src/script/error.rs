use std::fmt;

use awaitly_core::extend::stage::Misfit;
use awaitly_core::journal::Key;

use crate::seed::Advice;

/// What was scripted is not what the run asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ScriptError {
    /// Everything that does not fit.
    pub problems: Vec<Problem>,
    /// What happened, as [`Report::trace`](crate::Report::trace) tells it.
    pub trace: String,
    /// The seed of the run.
    pub seed: u64,
}

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The run was stopped: a value or an error is not of the type that the step has.
    #[error("step `{step}`: the script gives `{given}` where the step has `{expected}`; give it that")]
    OtherType {
        /// The step.
        step: Key,
        /// The type of what was scripted.
        given: Box<str>,
        /// The type that the step has.
        expected: Box<str>,
    },
    /// The run was stopped: a step of a borrowing handle was given a value or an error.
    #[error(
        "step `{step}`: its value may borrow, so the script cannot give it `{given}`; script `real()`, or build the \
         step on the run itself"
    )]
    Borrows {
        /// The step.
        step: Key,
        /// The type of what was scripted.
        given: Box<str>,
    },
    /// The run was stopped: nobody said what an attempt ends in, and operations are not called.
    #[error("step `{step}`: no script says what this attempt ends in; give it one, or say `Unscripted::Run`")]
    Unscripted {
        /// The step.
        step: Key,
    },
    /// The run was stopped: an answer is scripted for a step that asks nobody.
    #[error(
        "step `{step}`: it asks nobody outside, so the script cannot answer it; script `ok(..)` or `err(..)`"
    )]
    NotAsked {
        /// The step.
        step: Key,
    },
    /// A step asks somebody outside, and what is scripted for it is no answer.
    #[error(
        "step `{step}`: it asks somebody outside and has no operation; script `answer(&..)`, `rejected(..)` or \
         `expired()`"
    )]
    NotAnswered {
        /// The step.
        step: Key,
    },
    /// A script is for a durable sleep.
    #[error(
        "script `{script}`: it is for a durable sleep, which has no operation and takes its time, so nothing of it is \
         played; leave it out, or correct the name"
    )]
    NothingToPlay {
        /// The name or key.
        script: Key,
    },
    /// No step has the name or the key.
    #[error("script `{script}`: no step asked for it{}; correct the name, or leave it out", those(asked))]
    NotAskedFor {
        /// The name or key.
        script: Key,
        /// The steps that there were.
        asked: Vec<Key>,
    },
    /// A script has more outcomes than there were attempts.
    #[error("script `{script}`: {} asked for; leave out the rest, or say `Leftovers::Allow`", used(*taken, *of))]
    LeftOver {
        /// The name or key.
        script: Key,
        /// How many outcomes were used.
        taken: usize,
        /// How many there are.
        of: usize,
    },
    /// There are more outcomes in order than attempts without a script.
    #[error("outcomes in order: {} asked for; leave out the rest, or say `Leftovers::Allow`", used(*taken, *of))]
    LeftOverInOrder {
        /// How many outcomes were used.
        taken: usize,
        /// How many there are.
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
        return ", and there was none".to_owned();
    }
    let names: Vec<_> = asked.iter().map(|step| format!("`{step}`")).collect();
    format!(", there were {}", names.join(", "))
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
        write!(f, "\n\nwhat happened:\n{}\n{}", self.trace, Advice(self.seed))
    }
}

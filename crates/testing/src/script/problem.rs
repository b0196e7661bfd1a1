use awaitly_core::extend::stage::Misfit;
use awaitly_core::journal::Key;

use crate::keys::quoted;

/// A mismatch between a script and a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// A scripted value or error has another type than the step; the run was stopped.
    #[error("step `{step}`: the script gives `{given}`, but the step has `{expected}`; script that type")]
    OtherType { step: Key, given: Box<str>, expected: Box<str> },
    /// A value or an error is scripted for a step of a borrowing handle; the run was stopped.
    #[error(
        "step `{step}`: its value may borrow, so the script cannot give `{given}`; script `real()`, or build the step \
         on the run itself"
    )]
    Borrows { step: Key, given: Box<str> },
    /// An attempt has no script and operations must not be called; the run was stopped.
    #[error("step `{step}`: the attempt has no script; add one, or remove `scripted_only()`")]
    Unscripted { step: Key },
    /// An external answer is scripted for a step that does not wait for one; the run was stopped.
    #[error("step `{step}`: it does not wait for an external answer; script `ok(..)` or `err(..)`")]
    AnswerWithoutQuestion { step: Key },
    /// A step waits for an external answer, but its script is not an answer.
    #[error(
        "step `{step}`: it waits for an external answer and has no operation; script `answer(&..)`, `rejected(..)` or \
         `expired()`"
    )]
    QuestionWithoutAnswer { step: Key },
    /// A script names a durable sleep, which has no operation.
    #[error(
        "script `{script}`: a durable sleep has no operation, so its script is never played; remove it, or correct the \
         name"
    )]
    ForSleep { script: Key },
    /// No step has the script's name or key. `steps` are the steps that the run looked up.
    #[error(
        "script `{script}`: no step asked for it{}; correct the name, or remove the script",
        those(steps)
    )]
    WithoutStep { script: Key, steps: Vec<Key> },
    /// A script has more outcomes than there were attempts.
    #[error("script `{script}`: only {}", left_over(*taken, *of))]
    LeftOver { script: Key, taken: usize, of: usize },
    /// [`Harness::in_order`](crate::Harness::in_order) has more outcomes than there were attempts without a script.
    #[error("outcomes in order: only {}", left_over(*taken, *of))]
    LeftOverInOrder { taken: usize, of: usize },
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

fn those(steps: &[Key]) -> String {
    if steps.is_empty() {
        return "; the run had no steps".to_owned();
    }
    format!("; the steps were {}", quoted(steps))
}

fn left_over(taken: usize, of: usize) -> String {
    let were = if taken == 1 { "was" } else { "were" };
    format!("{taken} of its {of} outcomes {were} used; remove the rest, or call `allow_unused_scripts()`")
}

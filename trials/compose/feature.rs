//! The features of bodies and accidents, so that `--without` can mask known bugs.

use clap::ValueEnum;

/// A part of the library that the generator uses unless it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Feature {
    /// Values that JSON or a journal cannot keep.
    Values,
    /// Steps inside of the operation of a step.
    Nesting,
    Parallel,
    Race,
    Each,
    Sagas,
    /// Compensations that fail or ask.
    Undos,
    Questions,
    /// Questions that expire or are rejected.
    Refusals,
    Sleeps,
    Fallbacks,
    Guards,
    Retries,
    Conditions,
    Resources,
    Calls,
    /// Runs that a run starts, and waits for.
    Children,
    /// Messages.
    Mail,
    /// Schedules that start the runs.
    Schedules,
    /// Operations that fail.
    Failures,
    /// Parts whose failure the body handles.
    Handling,
    /// The results of bodies beside plain numbers.
    Results,
    Deaths,
    /// Store calls that fail, and lost answers.
    Stores,
    /// `Operate::cancel`.
    Cancels,
    /// Bodies that declare that it is too late to cancel.
    TooLate,
    /// The token of `cancel_on`.
    Tokens,
    /// `Workflow::cancel`.
    Undoing,
    Deadlines,
    Renames,
    /// `Workflow::retry` of a run that ended.
    Again,
    /// Another worker beside the first.
    Rivals,
    /// Answers before a question, after it, and twice.
    Answers,
    /// The check of events.
    Events,
    /// The check that a cancelled run gives its error again.
    Errors,
    /// The check that attempts are counted across executions.
    Counts,
    /// The check that a run whose future is dropped emits its end event.
    Drops,
}

/// The features in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features(u64);

impl Features {
    pub(crate) fn without(masked: &[Feature]) -> Self {
        Self(masked.iter().fold(u64::MAX, |features, feature| features & !(1 << *feature as u64)))
    }

    /// These features without some.
    pub(crate) fn minus(self, masked: &[Feature]) -> Self {
        Self(self.0 & Self::without(masked).0)
    }

    pub(crate) const fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u64) != 0
    }
}

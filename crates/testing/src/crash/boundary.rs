use std::fmt;

use awaitly_core::journal::Key;

/// A point in a run at which a process can die: before or after an act, or at an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Boundary {
    pub(super) side: Side,
    pub(super) act: Act,
    /// The step that the boundary belongs to, if any.
    pub(super) step: Option<Key>,
}

/// The position relative to the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    At,
    After,
}

/// The act that a boundary precedes or follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Lookup,
    Attempt(u32),
    Event(Box<str>),
    Effect(Box<str>),
    Open,
    Record,
    Question,
    Settling,
    Revival,
    Migration,
    End,
    Renewal,
    Answer,
    Cancellation,
    Commit,
    Submission,
    Claim,
    Sending,
    Message,
    Publication,
    Restart,
    Schedules,
    Queues,
    Pausing,
    Rescheduling,
}

impl Boundary {
    pub(super) const fn new(side: Side, act: Act, step: Option<Key>) -> Self {
        Self { side, act, step }
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.side {
            Side::Before => "before ",
            Side::At => "at ",
            Side::After => "after ",
        })?;
        write!(f, "{}", self.act)?;
        match (&self.step, &self.act) {
            (Some(step), Act::Effect(_)) => write!(f, " in step `{step}`"),
            (Some(step), Act::Attempt(_) | Act::Message) => write!(f, " at step `{step}`"),
            (Some(step), _) => write!(f, " of step `{step}`"),
            (None, _) => Ok(()),
        }
    }
}

impl Act {
    /// Returns whether the act is a write for a step, whose failure the body receives.
    pub(super) const fn is_of_body(&self) -> bool {
        matches!(self, Self::Record | Self::Question | Self::Settling | Self::Commit | Self::Message)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempt(number) => return write!(f, "attempt {number}"),
            Self::Event(name) => return write!(f, "the event `{name}`"),
            Self::Effect(what) => return write!(f, "the effect `{what}`"),
            Self::Lookup => "the lookup",
            Self::Open => "the run is opened",
            Self::Record => "the record",
            Self::Question => "the question",
            Self::Settling => "the settling of the question",
            Self::Revival => "the run is set back to running",
            Self::Migration => "the journal is migrated",
            Self::End => "the end of the run is recorded",
            Self::Renewal => "the lease is renewed",
            Self::Answer => "the answer",
            Self::Cancellation => "the run is cancelled from outside",
            Self::Commit => "the commit",
            Self::Submission => "runs are submitted",
            Self::Claim => "runs are claimed",
            Self::Sending => "messages are sent",
            Self::Message => "the message is received",
            Self::Publication => "values are published",
            Self::Restart => "the run starts again",
            Self::Schedules => "schedules are changed",
            Self::Queues => "the settings of queues are changed",
            Self::Pausing => "runs are paused or resumed",
            Self::Rescheduling => "queued runs are moved",
        })
    }
}

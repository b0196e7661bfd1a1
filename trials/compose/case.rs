//! A case: the body of a workflow, and the accidents of its run.

use crate::part::Body;

/// A case, drawn from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) body: Body,
    pub(crate) accidents: Vec<Accident>,
    /// A schedule that starts the runs.
    pub(crate) timetable: Option<Timetable>,
    pub(crate) seed: u64,
}

impl Case {
    /// Whether only a worker can execute the case.
    pub(crate) fn needs_worker(&self) -> bool {
        self.timetable.is_some() || self.body.needs_worker()
    }
}

/// A schedule, and what its workers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timetable {
    /// The number of times.
    pub(crate) times: u8,
    /// Whether no worker looks before the last time.
    pub(crate) late: bool,
}

/// An accident, and the moment at which it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accident {
    /// The number of the execution, from 0.
    pub(crate) execution: u16,
    /// The number of the boundary in that execution, from 1. An accident at 0 happens before the execution.
    pub(crate) boundary: u16,
    pub(crate) kind: Kind,
}

/// The kind of an accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The process dies: its future is dropped.
    Death,
    /// A call of the store fails, either before or after it is carried out.
    StoreFails,
    /// An operator calls `Operate::cancel`. At boundary 0, no process executes the run.
    Cancel,
    /// The token of the workflow is cancelled.
    Token,
    /// Another worker tries to execute the run at the same time.
    Rival,
    /// The worker is frozen. Another one takes the run over and executes it, and then the first one continues.
    Freeze,
    /// `Workflow::cancel` is called instead of this execution.
    Undo,
    /// The execution has a deadline, in units of time.
    Deadline(u8),
    /// From this execution on, the part with this id has another name, and the journal is migrated.
    Rename(u16),
    /// A failed or cancelled run is retried, in a world in which no operation fails any more.
    Again,
    /// Each question is answered before it is asked.
    Early,
    /// All messages of the part with this id are sent.
    Mail(u16),
    /// Each question is answered twice, and again after it has expired.
    Double,
}

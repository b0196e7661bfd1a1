//! What befalls a run from outside.

/// An accident, and when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accident {
    /// In which execution of the run, from 0.
    pub(crate) execution: u16,
    /// At which boundary of that execution, from 1. Accidents between two executions happen before it.
    pub(crate) boundary: u16,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The process dies: its future is dropped.
    Death,
    /// A call of the store fails: before it is carried out, or after that, so that its answer is lost.
    StoreFails,
    /// `Operate::cancel`. At boundary 0 nobody executes the run.
    Cancel,
    /// The token of the workflow is cancelled.
    Token,
    /// Another worker tries to execute the run at the same time.
    Rival,
    /// The worker is frozen, another one takes the run over and executes it, and then the first one thaws.
    Freeze,
    /// `Workflow::cancel` in the place of this execution.
    Undo,
    /// The execution has a deadline, in units of time.
    Deadline(u8),
    /// From this execution on, this part has another name, and the journal is migrated.
    Rename(u16),
    /// A run that failed or was cancelled is retried, in a world in which nothing fails any more.
    Again,
    /// Each question is answered before it is asked.
    Early,
    /// Each question is answered twice, and after its time.
    Double,
}

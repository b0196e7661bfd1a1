use std::fmt;

/// An accident at one boundary of a process.
///
/// ```
/// use awaitly_testing::crash::{Accident, AccidentKind};
///
/// let accident = Accident::death(7);
/// assert_eq!((accident.at, accident.kind), (7, AccidentKind::Death));
/// assert_eq!(accident.to_string(), "Accident::death(7)"); // as code that repeats it
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accident {
    /// The number of the boundary among those that the process passes, from 1.
    pub at: u64,
    /// The kind of accident.
    pub kind: AccidentKind,
}

/// The kind of an [`Accident`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccidentKind {
    /// The process dies and its work stops.
    Death,
    /// The process lives, but the store does not answer its call. At a boundary before the call, the store has done
    /// no part of it; at a boundary after the call, it has completed it.
    NoAnswer,
    /// The process lives, and an operator cancels the runs that it executes.
    Cancel,
}

impl Accident {
    /// Creates a death at this boundary of a process, counted from 1.
    #[must_use]
    pub const fn death(at: u64) -> Self {
        Self { at, kind: AccidentKind::Death }
    }

    /// Creates a missing answer of the store at this boundary of a process, counted from 1.
    #[must_use]
    pub const fn no_answer(at: u64) -> Self {
        Self { at, kind: AccidentKind::NoAnswer }
    }

    /// Creates a cancellation of the runs of a process at this boundary, counted from 1. The process outlives it, so
    /// the next accident in a list may happen to this process at a later boundary.
    #[must_use]
    pub const fn cancel(at: u64) -> Self {
        Self { at, kind: AccidentKind::Cancel }
    }
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            AccidentKind::Death => write!(f, "Accident::death({})", self.at),
            AccidentKind::NoAnswer => write!(f, "Accident::no_answer({})", self.at),
            AccidentKind::Cancel => write!(f, "Accident::cancel({})", self.at),
        }
    }
}

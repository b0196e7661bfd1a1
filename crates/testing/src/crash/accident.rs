use std::fmt;

/// What happens to a process, and at which of the boundaries that it passes: 1 is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accident {
    /// The number of the boundary in the life of the process.
    pub at: u64,
    /// What happens there.
    pub kind: AccidentKind,
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccidentKind {
    /// It dies: nothing of it goes on.
    Death,
    /// It lives, and the store does not answer it: before the boundary's act nothing was done, after it all was.
    NoAnswer,
    /// It lives, and an operator cancels what it executes.
    Cancel,
}

impl Accident {
    /// A death at this boundary of a process; 1 is the first.
    #[must_use]
    pub const fn death(at: u64) -> Self {
        Self { at, kind: AccidentKind::Death }
    }

    /// No answer of the store at this boundary of a process; 1 is the first.
    #[must_use]
    pub const fn no_answer(at: u64) -> Self {
        Self { at, kind: AccidentKind::NoAnswer }
    }

    /// An operator cancels the runs of a process at this boundary; 1 is the first. The next accident in a list may come to
    /// the same process, at a later boundary.
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

use std::fmt;

/// An accident at one boundary of a process. Each variant holds the number of that boundary; the first boundary that
/// the process passes has number 1.
///
/// ```
/// use awaitly_testing::crash::Accident;
///
/// let accident = Accident::Death(7);
/// assert_eq!(accident.boundary(), 7);
/// assert_eq!(accident.to_string(), "Accident::Death(7)"); // as code that repeats it
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accident {
    /// The process dies and its work stops.
    Death(u64),
    /// The process lives, but the store does not answer a call. At a boundary before the call, the store has not begun
    /// the call; at a boundary after the call, the store has completed the call.
    NoAnswer(u64),
    /// The process lives, and an operator cancels the runs that it executes. The next accident in a list may happen to
    /// this process too, at a later boundary.
    Cancel(u64),
}

impl Accident {
    /// Returns the number of the boundary.
    #[must_use]
    pub const fn boundary(self) -> u64 {
        match self {
            Self::Death(boundary) | Self::NoAnswer(boundary) | Self::Cancel(boundary) => boundary,
        }
    }

    pub(super) const fn is_cancel(self) -> bool {
        matches!(self, Self::Cancel(_))
    }
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accident::{self:?}")
    }
}

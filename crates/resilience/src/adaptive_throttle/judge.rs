use std::fmt;
use std::time::Duration;

/// What an error of the operation says of the service's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The service took the call, though it did not succeed: nothing is found, a card is declined.
    Taken,
    /// It was too much, a 429 or a 503. `wait`: how long the service asked to wait.
    Overloaded {
        /// From now.
        wait: Option<Duration>,
    },
    /// Nothing: the call never got there.
    Unknown,
}

/// Says what an error of the operation means. It holds for [`OnlyTimeouts`] and [`Judged`].
#[diagnostic::on_unimplemented(
    message = "this throttle cannot judge the error `{E}`",
    note = "its function takes another error: `judge(|error: &{E}| ..)`"
)]
pub trait Judge<E> {
    /// What it means.
    fn judge(&self, error: &E) -> Signal;
}

/// No error is a sign of overload.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnlyTimeouts;

impl<E> Judge<E> for OnlyTimeouts {
    #[inline]
    fn judge(&self, _: &E) -> Signal {
        Signal::Taken
    }
}

/// A function says what an error means. `Judged<fn(&ApiError) -> Signal>` is a type that can be written in a field.
#[derive(Clone, Copy)]
pub struct Judged<F>(pub(super) F);

impl<E, F: Fn(&E) -> Signal> Judge<E> for Judged<F> {
    fn judge(&self, error: &E) -> Signal {
        (self.0)(error)
    }
}

impl<F> fmt::Debug for Judged<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judged").finish_non_exhaustive()
    }
}

use std::fmt;
use std::time::Duration;

/// The meaning of an operation's error for the load of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The service accepted the call, although the call did not succeed: for example, a record does not exist, or a
    /// card is declined.
    Taken,
    /// The service was overloaded, for example a 429 or a 503.
    Overloaded {
        /// The time that the service asked to wait, from now.
        wait: Option<Duration>,
    },
    /// The error says nothing about the load, because the call never reached the service.
    Unknown,
}

/// Judges an error of the operation. [`OnlyTimeouts`] and [`Judged`] implement it.
#[diagnostic::on_unimplemented(
    message = "this throttle cannot judge the error `{E}`",
    note = "its function takes another error: `judge(|error: &{E}| ..)`"
)]
pub trait Judge<E> {
    /// Returns the meaning of `error` for the load.
    fn judge(&self, error: &E) -> Signal;
}

/// Treats no error as a sign of overload.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnlyTimeouts;

impl<E> Judge<E> for OnlyTimeouts {
    #[inline]
    fn judge(&self, _: &E) -> Signal {
        Signal::Taken
    }
}

/// Judges errors with a function. With a function pointer, the type can be written in a field: `Judged<fn(&ApiError) ->
/// Signal>`.
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

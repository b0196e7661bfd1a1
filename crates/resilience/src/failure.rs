//! Rules that decide which errors a policy counts as failures of the service.

/// Decides whether an error of the operation is a failure of the service. A declined card, for example, is an error,
/// but the service works.
///
/// [`Every`] and [`When`] implement it. A timeout of a step's attempt always counts. Alone, and as a layer, a policy
/// sees no timeouts: a timeout around its `call` drops the call, which does not count, and a timeout inside it is one
/// of the caller's errors.
#[diagnostic::on_unimplemented(
    message = "this policy cannot judge the error `{E}`",
    note = "its predicate takes another error: `failure_when(|error: &{E}| ..)`"
)]
pub trait Failure<E> {
    /// Returns whether `error` counts as a failure.
    fn counts(&self, error: &E) -> bool;
}

/// Counts every error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Every;

impl<E> Failure<E> for Every {
    #[inline]
    fn counts(&self, _: &E) -> bool {
        true
    }
}

/// Counts the errors for which the function returns `true`. With a function pointer, the type can be written in a
/// field: `When<fn(&ApiError) -> bool>`.
#[derive(Clone, Copy)]
pub struct When<F>(pub(crate) F);

impl<E, F: Fn(&E) -> bool> Failure<E> for When<F> {
    fn counts(&self, error: &E) -> bool {
        (self.0)(error)
    }
}

impl<F> std::fmt::Debug for When<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("When").finish_non_exhaustive()
    }
}

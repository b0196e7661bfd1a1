//! What a policy counts as a failure of the service.

/// Says of an operation's own error whether the service has failed. A declined card is an error, and no sign that
/// the service is in trouble.
///
/// It holds for [`Every`] and [`When`]. A timeout of a step's attempt always counts. Alone, and as a layer, a policy
/// sees no timeouts: one around its `call` drops it, which counts as nothing, and one inside of it is an error of yours.
#[diagnostic::on_unimplemented(
    message = "this policy cannot judge the error `{E}`",
    note = "its predicate takes another error: `failure_when(|error: &{E}| ..)`"
)]
pub trait Failure<E> {
    /// Whether it counts.
    fn counts(&self, error: &E) -> bool;
}

/// Every error counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Every;

impl<E> Failure<E> for Every {
    #[inline]
    fn counts(&self, _: &E) -> bool {
        true
    }
}

/// Those errors count of which the function says so. A function pointer, `When<fn(&ApiError) -> bool>`, is a type
/// that can be written in a field.
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

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// The judgement of a policy about a step's own error.
///
/// `()` retries every error and reads no hints. [`Retry::when`](super::Retry::when) and
/// [`Retry::retry_after`](super::Retry::retry_after) add a [`Rule`].
#[diagnostic::on_unimplemented(
    message = "this retry policy is not for a step whose error is `{E}`",
    note = "`when` and `retry_after` take a function of the step's own error"
)]
pub trait Rules<E> {
    /// Returns `true` if another attempt may follow `error`.
    fn retries(&self, error: &E) -> bool;

    /// Returns the time for which the server asked the caller to wait.
    fn hint(&self, error: &E) -> Option<Duration>;
}

impl<E> Rules<E> for () {
    fn retries(&self, _: &E) -> bool {
        true
    }

    fn hint(&self, _: &E) -> Option<Duration> {
        None
    }
}

/// The rules `P` and one more rule: a function `F` of the error `E`. The function returns `T`: either a `bool`, which
/// is `true` if another attempt may follow, or the server's hint.
///
/// With a function pointer, the type of a policy can be written in a field:
///
/// ```
/// use awaitly_core::retry::{Retry, Rule};
///
/// struct Client {
///     retry: Retry<Rule<(), fn(&std::io::Error) -> bool, std::io::Error, bool>>,
/// }
/// ```
pub struct Rule<P, F, E, T> {
    rules: P,
    function: F,
    types: PhantomData<fn(&E) -> T>,
}

impl<P, F, E, T> Rule<P, F, E, T> {
    pub(super) const fn new(rules: P, function: F) -> Self {
        Self { rules, function, types: PhantomData }
    }
}

impl<P: Rules<E>, F: Fn(&E) -> bool, E> Rules<E> for Rule<P, F, E, bool> {
    fn retries(&self, error: &E) -> bool {
        self.rules.retries(error) && (self.function)(error)
    }

    fn hint(&self, error: &E) -> Option<Duration> {
        self.rules.hint(error)
    }
}

impl<P: Rules<E>, F: Fn(&E) -> Option<Duration>, E> Rules<E> for Rule<P, F, E, Option<Duration>> {
    fn retries(&self, error: &E) -> bool {
        self.rules.retries(error)
    }

    fn hint(&self, error: &E) -> Option<Duration> {
        (self.function)(error).max(self.rules.hint(error))
    }
}

impl<P: fmt::Debug, F, E, T> fmt::Debug for Rule<P, F, E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("rules", &self.rules).finish_non_exhaustive()
    }
}

// Not derived, because the error need not be `Clone`.
impl<P: Clone, F: Clone, E, T> Clone for Rule<P, F, E, T> {
    fn clone(&self) -> Self {
        Self::new(self.rules.clone(), self.function.clone())
    }
}

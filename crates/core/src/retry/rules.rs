use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// The judgement of a policy about a step's own error.
///
/// [`Retry::when`](super::Retry::when) and [`Retry::retry_after`](super::Retry::retry_after) create rules.
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

/// Rules that retry every error and read no hints.
#[derive(Debug, Clone, Copy, Default)]
pub struct Always;

impl<E> Rules<E> for Always {
    fn retries(&self, _: &E) -> bool {
        true
    }

    fn hint(&self, _: &E) -> Option<Duration> {
        None
    }
}

/// Rules that retry only errors for which a predicate holds.
pub struct When<P, F, E> {
    rules: P,
    predicate: F,
    error: PhantomData<fn(&E)>,
}

impl<P, F, E> When<P, F, E> {
    pub(super) const fn new(rules: P, predicate: F) -> Self {
        Self { rules, predicate, error: PhantomData }
    }
}

impl<P: Rules<E>, F: Fn(&E) -> bool, E> Rules<E> for When<P, F, E> {
    fn retries(&self, error: &E) -> bool {
        self.rules.retries(error) && (self.predicate)(error)
    }

    fn hint(&self, error: &E) -> Option<Duration> {
        self.rules.hint(error)
    }
}

impl<P: fmt::Debug, F, E> fmt::Debug for When<P, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.when(..)", self.rules)
    }
}

/// Rules that read the server's hint from the error.
pub struct RetryAfter<P, F, E> {
    rules: P,
    hint: F,
    error: PhantomData<fn(&E)>,
}

impl<P, F, E> RetryAfter<P, F, E> {
    pub(super) const fn new(rules: P, hint: F) -> Self {
        Self { rules, hint, error: PhantomData }
    }
}

impl<P: Rules<E>, F: Fn(&E) -> Option<Duration>, E> Rules<E> for RetryAfter<P, F, E> {
    fn retries(&self, error: &E) -> bool {
        self.rules.retries(error)
    }

    fn hint(&self, error: &E) -> Option<Duration> {
        (self.hint)(error).max(self.rules.hint(error))
    }
}

impl<P: fmt::Debug, F, E> fmt::Debug for RetryAfter<P, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.retry_after(..)", self.rules)
    }
}

// Not derived, because the error need not be `Clone`.
impl<P: Clone, F: Clone, E> Clone for When<P, F, E> {
    fn clone(&self) -> Self {
        Self::new(self.rules.clone(), self.predicate.clone())
    }
}

impl<P: Clone, F: Clone, E> Clone for RetryAfter<P, F, E> {
    fn clone(&self) -> Self {
        Self::new(self.rules.clone(), self.hint.clone())
    }
}

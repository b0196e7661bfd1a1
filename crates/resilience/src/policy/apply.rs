use std::time::Duration;

use awaitly_core::Retry;
use awaitly_core::retry::{Budget, Rule};
use awaitly_core::several::Each;
use awaitly_core::step::{Preset, Repeat, Step};

use super::Policy;

/// A [`Policy`] with the parts that depend on the program's types: a predicate over its error, and guards.
///
/// An `Extended` policy is `Clone` if its predicate and its guards are. A step takes the policy by value, so pass a
/// clone to each step.
///
/// ```
/// use awaitly_resilience::{ConcurrencyLimiter, policy};
/// # #[derive(Debug)]
/// # struct ApiError { status: u16 }
///
/// let slots = ConcurrencyLimiter::new("search", 8);
/// let search = policy::HTTP_API.when(|error: &ApiError| error.status >= 500).guard(&slots);
/// let again = search.clone();
/// ```
#[derive(Debug, Clone)]
#[must_use = "a policy does nothing by itself: give it to a step with `policy`"]
pub struct Extended<P = (), G = ()> {
    pub(super) retry: Retry<P>,
    pub(super) timeout: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) guard: G,
}

impl<P, G> Extended<P, G> {
    fn map_retry<Q>(self, change: impl FnOnce(Retry<P>) -> Retry<Q>) -> Extended<Q, G> {
        let Self { retry, timeout, deadline, guard } = self;
        Extended { retry: change(retry), timeout, deadline, guard }
    }

    /// Works like [`Policy::when`].
    pub fn when<E, F: Fn(&E) -> bool>(self, predicate: F) -> Extended<Rule<P, F, E, bool>, G> {
        self.map_retry(|retry| retry.when(predicate))
    }

    /// Works like [`Policy::retry_after`].
    pub fn retry_after<E, F: Fn(&E) -> Option<Duration>>(
        self,
        hint: F,
    ) -> Extended<Rule<P, F, E, Option<Duration>>, G> {
        self.map_retry(|retry| retry.retry_after(hint))
    }

    /// Works like [`Policy::give_up_on_timeout`].
    ///
    /// ```
    /// use awaitly_resilience::policy;
    ///
    /// # #[derive(Debug)]
    /// # enum PaymentError { Declined, Unreachable }
    /// let pay = policy::HTTP_API
    ///     .when(|error: &PaymentError| matches!(error, PaymentError::Unreachable))
    ///     .give_up_on_timeout();
    /// ```
    pub fn give_up_on_timeout(self) -> Self {
        self.map_retry(Retry::give_up_on_timeout)
    }

    /// Works like [`Policy::budget`].
    pub fn budget(self, budget: &Budget) -> Self {
        self.map_retry(|retry| retry.budget(budget))
    }

    /// Adds a guard, like [`Policy::guard`]. An attempt enters the guards in the order in which they were added.
    pub fn guard<H>(self, guard: H) -> Extended<P, (G, H)> {
        let Self { retry, timeout, deadline, guard: outer } = self;
        Extended { retry, timeout, deadline, guard: (outer, guard) }
    }
}

impl<'r, F, A: Repeat, R, G, U, P, H> Preset<Step<'r, F, A, R, G, U>> for Extended<P, H> {
    type Step = Step<'r, F, A::Again<P>, R, (G, H), U>;

    fn apply(self, step: Step<'r, F, A, R, G, U>) -> Self::Step {
        let step = step.retry(self.retry).guard(self.guard);
        let step = if let Some(timeout) = self.timeout { step.timeout(timeout) } else { step };
        if let Some(deadline) = self.deadline { step.deadline(deadline) } else { step }
    }
}

impl<'r, M, I, F, A, R, G, U, P, H> Preset<Each<'r, M, I, F, A, R, G, U>> for Extended<P, H> {
    type Step = Each<'r, M, I, F, Retry<P>, R, (G, H), U>;

    fn apply(self, each: Each<'r, M, I, F, A, R, G, U>) -> Self::Step {
        let each = each.retry(self.retry).guard(self.guard);
        let each = if let Some(timeout) = self.timeout { each.timeout(timeout) } else { each };
        if let Some(deadline) = self.deadline { each.deadline(deadline) } else { each }
    }
}

impl<S> Preset<S> for Policy
where
    Extended: Preset<S>,
{
    type Step = <Extended as Preset<S>>::Step;

    fn apply(self, step: S) -> Self::Step {
        self.extended().apply(step)
    }
}

impl<S> Preset<S> for &Policy
where
    Extended: Preset<S>,
{
    type Step = <Extended as Preset<S>>::Step;

    fn apply(self, step: S) -> Self::Step {
        self.extended().apply(step)
    }
}

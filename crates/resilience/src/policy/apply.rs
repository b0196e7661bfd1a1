use std::time::Duration;

use awaitly_core::Retry;
use awaitly_core::guard::Both;
use awaitly_core::retry::{Always, Budget, OnTimeout, RetryAfter, When};
use awaitly_core::several::Each;
use awaitly_core::step::{Policy as Applied, Repeat, Step};

use super::Policy;

/// A [`Policy`] with the parts that depend on the program's types: a predicate over its error, and guards.
///
/// It is `Clone` if these parts are; each step that uses the policy clones it.
#[derive(Debug, Clone)]
#[must_use = "a policy does nothing by itself: give it to a step with `policy`"]
pub struct PolicyWith<P = Always, G = ()> {
    pub(super) retry: Retry<P>,
    pub(super) timeout: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) guard: G,
}

impl<P, G> PolicyWith<P, G> {
    fn map_retry<Q>(self, change: impl FnOnce(Retry<P>) -> Retry<Q>) -> PolicyWith<Q, G> {
        let Self { retry, timeout, deadline, guard } = self;
        PolicyWith { retry: change(retry), timeout, deadline, guard }
    }

    /// Works like [`Policy::when`].
    pub fn when<E, F: Fn(&E) -> bool>(self, predicate: F) -> PolicyWith<When<P, F, E>, G> {
        self.map_retry(|retry| retry.when(predicate))
    }

    /// Works like [`Policy::retry_after`].
    pub fn retry_after<E, F: Fn(&E) -> Option<Duration>>(
        self,
        hint: F,
    ) -> PolicyWith<RetryAfter<P, F, E>, G> {
        self.map_retry(|retry| retry.retry_after(hint))
    }

    /// Works like [`Policy::on_timeout`].
    pub fn on_timeout(self, timeouts: OnTimeout) -> Self {
        self.map_retry(|retry| retry.on_timeout(timeouts))
    }

    /// Works like [`Policy::budget`].
    pub fn budget(self, budget: &Budget) -> Self {
        self.map_retry(|retry| retry.budget(budget))
    }

    /// Works like [`Policy::guard`]. If it is called several times, an attempt enters the first guard first.
    pub fn guard<H>(self, guard: H) -> PolicyWith<P, Both<G, H>> {
        let Self { retry, timeout, deadline, guard: outer } = self;
        PolicyWith { retry, timeout, deadline, guard: Both::new(outer, guard) }
    }
}

impl<'r, F, A: Repeat, R, G, U, P, H> Applied<Step<'r, F, A, R, G, U>> for PolicyWith<P, H> {
    type Step = Step<'r, F, A::Again<P>, R, Both<G, H>, U>;

    fn apply(self, step: Step<'r, F, A, R, G, U>) -> Self::Step {
        let step = step.retry(self.retry).guard(self.guard);
        let step = if let Some(timeout) = self.timeout { step.timeout(timeout) } else { step };
        if let Some(deadline) = self.deadline { step.deadline(deadline) } else { step }
    }
}

impl<'r, M, I, F, A, R, G, U, P, H> Applied<Each<'r, M, I, F, A, R, G, U>> for PolicyWith<P, H> {
    type Step = Each<'r, M, I, F, Retry<P>, R, Both<G, H>, U>;

    fn apply(self, each: Each<'r, M, I, F, A, R, G, U>) -> Self::Step {
        let each = each.retry(self.retry).guard(self.guard);
        let each = if let Some(timeout) = self.timeout { each.timeout(timeout) } else { each };
        if let Some(deadline) = self.deadline { each.deadline(deadline) } else { each }
    }
}

impl<S> Applied<S> for Policy
where
    PolicyWith: Applied<S>,
{
    type Step = <PolicyWith as Applied<S>>::Step;

    fn apply(self, step: S) -> Self::Step {
        self.with().apply(step)
    }
}

impl<S> Applied<S> for &Policy
where
    PolicyWith: Applied<S>,
{
    type Step = <PolicyWith as Applied<S>>::Step;

    fn apply(self, step: S) -> Self::Step {
        self.with().apply(step)
    }
}

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::held::HeldWaits;
use super::siblings::{Ended, Siblings};
use crate::error::{Error, FromStep, RunError};
use crate::event::{EventKind, ScopeKind};
use crate::journal::Key;
use crate::run::{Mode, Run};
use crate::shared::Shared;

pin_project! {
    /// Concurrent steps with an event at their beginning and one at their end.
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<'r, Fut> {
        #[pin]
        inner: Fut,
        scope: Option<Scope<'r>>,
    }
}

/// Emits an event at the beginning of a scope, and another one when it is dropped.
pub struct Scope<'r> {
    run: &'r Shared,
    name: Key,
    kind: ScopeKind,
    began: Duration,
    pub(super) winner: Option<usize>,
}

impl<'r> Scope<'r> {
    /// Begins a scope of `run`, if an observer watches the run.
    pub(crate) fn begin<M: Mode>(run: &'r Run<M>, name: &Key, kind: ScopeKind) -> Option<Self> {
        let run = run.shared().filter(|run| run.watchers.is_observed())?;
        run.tell(|| EventKind::ScopeStarted { scope: name.clone(), kind });
        Some(Self { run, name: name.clone(), kind, began: run.time.elapsed(), winner: None })
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        let duration = self.run.time.elapsed().saturating_sub(self.began);
        let (scope, kind, winner) = (self.name.clone(), self.kind, self.winner);
        self.run.tell(|| EventKind::ScopeEnded { scope, kind, duration, winner });
    }
}

impl<'r, Fut> Scoped<'r, Fut> {
    /// Wraps the steps of a `parallel!`.
    pub fn parallel<M: Mode>(run: &'r Run<M>, name: impl Into<Key>, inner: Fut) -> Self {
        Self { inner, scope: Scope::begin(run, &name.into(), ScopeKind::Parallel) }
    }
}

impl<Fut: Future> Future for Scoped<'_, Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx));
        this.scope.take();
        Poll::Ready(output)
    }
}

pin_project! {
    /// Returns the value of a race's winner.
    #[must_use = "futures do nothing unless polled"]
    pub struct Winner<'r, Fut> {
        #[pin]
        inner: Fut,
        scope: Option<Scope<'r>>,
    }
}

impl<'r, Fut> Winner<'r, Fut> {
    /// Wraps the calls of a `race!`, whose winner has an index.
    pub fn new<M: Mode>(run: &'r Run<M>, name: impl Into<Key>, inner: Fut) -> Self {
        Self { inner, scope: Scope::begin(run, &name.into(), ScopeKind::Race) }
    }
}

impl<Fut, T, E> Future for Winner<'_, Fut>
where
    Fut: Future<Output = Result<(usize, T), E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let ended = ready!(this.inner.poll(cx));
        if let (Some(mut scope), Ok((winner, _))) = (this.scope.take(), &ended) {
            scope.winner = Some(*winner);
        }
        Poll::Ready(ended.map(|(_, value)| value))
    }
}

pin_project! {
    /// Converts the failure of a step into the error of the surrounding function, and returns it as soon as the sibling
    /// steps permit it.
    #[must_use = "futures do nothing unless polled"]
    pub struct Lift<'s, Fut, X, S> {
        #[pin]
        inner: Fut,
        siblings: &'s S,
        // A failure or a pause that was not returned yet.
        failure: Option<(Ended, u32, X)>,
        // The step that waits.
        waits_at: Option<Key>,
        waits: HeldWaits<'s>,
    }
}

impl<'s, Fut, X, S: Siblings> Lift<'s, Fut, X, S> {
    /// Wraps `inner`.
    pub fn new<M: Mode>(run: &'s Run<M>, inner: Fut, siblings: &'s S) -> Self {
        siblings.begin();
        Self { inner, siblings, failure: None, waits_at: None, waits: HeldWaits::new(run.shared()) }
    }
}

impl<Fut, T, E, X, S> Future for Lift<'_, Fut, X, S>
where
    Fut: Future<Output = Result<T, Error<E>>>,
    X: FromStep<Error<E>>,
    S: Siblings,
{
    type Output = Result<T, X>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.failure.is_none() {
            match ready!(this.waits.during(|| this.inner.poll(cx))) {
                Ok(value) => {
                    this.siblings.ended(Ended::Succeeded, cx);
                    return Poll::Ready(Ok(value));
                }
                Err(failure) => {
                    let how = match &failure {
                        Error::Run(RunError::Waiting { step }) => {
                            *this.waits_at = Some(step.clone());
                            Ended::Paused
                        }
                        Error::Run(RunError::Cancelled { .. }) => Ended::Paused,
                        _ => Ended::Failed,
                    };
                    let place = this.siblings.ended(how, cx);
                    *this.failure = Some((how, place, X::from_step(failure)));
                }
            }
        }
        match this.failure.take_if(|(how, place, _)| this.siblings.may_tell(*how, *place)) {
            Some((_, _, error)) => {
                let ended = this.waits_at.take().and_then(|step| this.waits.ended(&step));
                this.waits.release();
                Poll::Ready(Err(ended.map_or(error, |ended| X::from_step(Error::Run(ended)))))
            }
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<Fut> fmt::Debug for Scoped<'_, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}

impl<Fut> fmt::Debug for Winner<'_, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Winner").finish_non_exhaustive()
    }
}

impl<Fut, X, S> fmt::Debug for Lift<'_, Fut, X, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lift").finish_non_exhaustive()
    }
}

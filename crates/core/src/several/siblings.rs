use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::held::HeldWaits;
use super::scope::Scope;
use crate::error::{Error, FromStep, RunError};
use crate::event::ScopeKind;
use crate::journal::Key;
use crate::run::{Mode, Run};
use crate::shared::Shared;

/// The steps of one `parallel!`. Their shared state decides when the failure of one step ends all of them.
///
/// A step that waits or was cancelled has not failed. Its siblings continue, and `parallel!` returns the pause only
/// after all of them have ended or paused. The cancellation of a resumed run depends on this order: the run
/// refuses a step that an earlier execution dropped because a sibling failed, and `parallel!` still has to return the
/// recorded failure of that sibling.
pub struct Siblings<'r> {
    run: Option<&'r Shared>,
    /// If `true`, a failure is returned only after all steps have ended or paused.
    wait: bool,
    running: AtomicU32,
    paused: AtomicU32,
    failed: AtomicU32,
    _scope: Option<Scope<'r>>,
}

/// The kind of a step's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The step returned a value.
    Value,
    /// The step waits, or the run was cancelled.
    Pause,
    /// The step failed, or the run cannot continue.
    Failure,
}

impl<'r> Siblings<'r> {
    /// Begins the scope `name` of `run`. With `wait`, a failure is returned after all steps have ended or paused.
    pub(crate) fn new<M: Mode>(run: &'r Run<M>, name: &Key, wait: bool) -> Self {
        let [running, paused, failed] = [const { AtomicU32::new(0) }; 3];
        let scope = Scope::begin(run, name, ScopeKind::Parallel);
        Self { run: run.shared(), wait, running, paused, failed, _scope: scope }
    }

    /// Executes a step, and converts its failure into the error of the surrounding function.
    ///
    /// The future returns a failure at once, or in a saga after all steps have ended or paused. It returns a pause
    /// after all steps have ended or paused, if none of them failed.
    pub fn execute<Fut, T, E, X>(&self, step: Fut) -> impl Future<Output = Result<T, X>>
    where
        Fut: Future<Output = Result<T, Error<E>>>,
        X: FromStep<Error<E>>,
    {
        self.running.fetch_add(1, Ordering::Relaxed);
        let waits = HeldWaits::new(self.run);
        Sibling { step, siblings: self, failure: None, waits_at: None, waits }
    }

    /// Counts the end of a step. Returns its place among the steps with the same kind of end.
    fn ended(&self, end: End, cx: &Context<'_>) -> u32 {
        let place = match end {
            End::Value => 0,
            End::Pause => self.paused.fetch_add(1, Ordering::Relaxed),
            End::Failure => self.failed.fetch_add(1, Ordering::Relaxed),
        };
        // The last step to end wakes the task, so that the others are polled again.
        let was_last = self.running.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && (self.paused.load(Ordering::Relaxed) > 0 || self.has_failed()) {
            cx.waker().wake_by_ref();
        }
        place
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) > 0
    }

    /// Returns `true` if a failure or a pause may be returned now, which drops all other steps.
    fn may_tell(&self, end: End, place: u32) -> bool {
        if end == End::Failure && !self.wait {
            return true;
        }
        let all_ended = self.running.load(Ordering::Relaxed) == 0;
        place == 0 && all_ended && (end == End::Failure || !self.has_failed())
    }
}

pin_project! {
    /// One of several steps.
    struct Sibling<'s, 'r, Fut, X> {
        #[pin]
        step: Fut,
        siblings: &'s Siblings<'r>,
        // A failure or a pause that was not returned yet.
        failure: Option<(End, u32, X)>,
        // The step that waits.
        waits_at: Option<Key>,
        waits: HeldWaits<'r>,
    }
}

impl<Fut, T, E, X> Future for Sibling<'_, '_, Fut, X>
where
    Fut: Future<Output = Result<T, Error<E>>>,
    X: FromStep<Error<E>>,
{
    type Output = Result<T, X>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.failure.is_none() {
            match ready!(this.waits.during(|| this.step.poll(cx))) {
                Ok(value) => {
                    this.siblings.ended(End::Value, cx);
                    return Poll::Ready(Ok(value));
                }
                Err(failure) => {
                    let end = match &failure {
                        Error::Run(RunError::Waiting { step }) => {
                            *this.waits_at = Some(step.clone());
                            End::Pause
                        }
                        Error::Run(RunError::Cancelled { .. }) => End::Pause,
                        _ => End::Failure,
                    };
                    let place = this.siblings.ended(end, cx);
                    *this.failure = Some((end, place, X::from_step(failure)));
                }
            }
        }
        match this.failure.take_if(|(end, place, _)| this.siblings.may_tell(*end, *place)) {
            Some((_, _, error)) => {
                let ended = this.waits_at.take().and_then(|step| this.waits.ended(&step));
                this.waits.release();
                Poll::Ready(Err(ended.map_or(error, |ended| X::from_step(Error::Run(ended)))))
            }
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Siblings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Siblings").field("running", &self.running).finish_non_exhaustive()
    }
}

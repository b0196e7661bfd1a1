use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use awaitly_core::__undo::Stopping;
use awaitly_core::journal::Key;
use awaitly_core::step::{Keep, Once, Step};
use awaitly_core::{__private, __undo, Durable, FromStep, Mode, Run, RunError, Volatile};
use futures_util::FutureExt;

use crate::compensation::Compensation;
use crate::each::SagaEach;
use crate::error::Rest;
use crate::ledger::Ledger;
use crate::step::SagaStep;
use crate::story::Story;
use crate::undo::{Cause, Decision, Undoing};
use crate::{OnCancel, SagaError, SagaOptions};

/// Executes `body` as a saga of `run`: gives its value, or undoes what its steps did and fails with its error.
///
/// The steps that are undone are those built on the [`Saga`] that `body` gets, with a
/// [`compensate`](SagaStep::compensate). Their compensations run one at a time, the last step's first, as steps of the
/// run called `undo` and the step's key; a compensation that fails does not keep the others from running, unless
/// [`OnGiveUp::Stop`](crate::OnGiveUp::Stop) says so. The step that failed is not undone itself.
///
/// A saga is undone where its body returns an error or panics, and where the run is cancelled or out of time; a
/// compensation runs in spite of those. It is not undone where a step waits for an answer from outside, nor where the
/// store fails: then the run goes on when it is run again.
///
/// # Errors
/// [`SagaError`], with the body's error and what could not be undone.
///
/// # Panics
/// Where the body does, once what it did is undone.
///
/// # Cancel safety
/// Dropping the future drops the step or compensation in flight. A volatile saga is then left as it is: nothing runs
/// after a drop. A durable one goes on when its run is run again, forward or back.
///
/// # Resume
/// Recorded steps enter their compensations again. That the saga is being undone is recorded, with the body's error,
/// before the first compensation runs, under `undo`: a resumed run calls the body again, but only to find the recorded
/// steps, and goes on undoing. A retry of the run does a saga that was undone anew, from its first step; one that could
/// not be undone goes on with the compensations that failed.
///
/// # Examples
/// See the [crate](crate).
pub async fn saga<'c, T, E, M>(
    run: &Run<M>,
    body: impl AsyncFnOnce(&Saga<'c, E, M>) -> Result<T, E>,
) -> Result<T, SagaError<E>>
where
    M: Mode,
    M::Keep: Keep<Undoing<E>, RunError>,
    E: FromStep<RunError> + fmt::Display,
{
    saga_with(run, SagaOptions::new(), body).await
}

/// The same as [`saga`](fn@saga), with options.
///
/// # Errors
/// As for [`saga`](fn@saga), and so for panics, cancel safety and resuming.
pub async fn saga_with<'c, T, E, M>(
    run: &Run<M>,
    options: SagaOptions,
    body: impl AsyncFnOnce(&Saga<'c, E, M>) -> Result<T, E>,
) -> Result<T, SagaError<E>>
where
    M: Mode,
    M::Keep: Keep<Undoing<E>, RunError>,
    E: FromStep<RunError> + fmt::Display,
{
    execute(run, options, None, body).await
}

/// The handle on a saga, from which its steps are built.
///
/// Steps that nothing undoes may be built on it too, or on the run. `'c` is how long the compensations live: as long as
/// the call of [`saga`](fn@saga). `E` is what the saga fails with.
pub struct Saga<'c, E, M = Volatile> {
    run: Run<M>,
    options: SagaOptions,
    ledger: Ledger<'c, E, M>,
    /// That of the saga that it is inside of.
    outer: Option<Ledger<'c, E, M>>,
    /// Whether the body is called only to find what was recorded.
    replays: bool,
}

/// A saga whose steps are recorded.
pub type DurableSaga<'c, E> = Saga<'c, E, Durable>;

impl<'c, E, M> Saga<'c, E, M> {
    pub(crate) const fn ledger(&self) -> &Ledger<'c, E, M> {
        &self.ledger
    }
}

/// What a saga has not undone itself, the one around it may have to: because it succeeded, or was dropped.
impl<E, M> Drop for Saga<'_, E, M> {
    fn drop(&mut self) {
        if let Some(outer) = &self.outer {
            outer.absorb(&self.ledger);
        }
    }
}

impl<'c, E, M: Mode> Saga<'c, E, M> {
    /// A step called `name` that runs `operation`, as [`Run::step`] makes one, to which
    /// [`compensate`](SagaStep::compensate) can be said.
    pub fn step<'s, F>(
        &'s self,
        name: impl Into<Key>,
        operation: F,
    ) -> SagaStep<'s, Self, Step<'s, F, Once, M::Keep>> {
        SagaStep::new(self, self.run.step(name, operation), Compensation::none())
    }

    /// A step for each of `items`, a bounded number of them at the same time: see [`SagaEach`].
    pub fn each<'s, I, F>(
        &'s self,
        name: impl Into<Key>,
        items: I,
        operation: F,
    ) -> SagaEach<'s, Self, I::Item, F>
    where
        I: IntoIterator,
    {
        SagaEach::new(self, name.into(), items.into_iter().collect(), operation)
    }

    /// Executes `body` as a saga of its own inside of this one. Where it fails, what it did is undone, and this
    /// saga's body goes on with the error as it likes. Where it succeeds, its steps are undone with those of this saga,
    /// should this one fail.
    ///
    /// # Errors
    /// As for [`saga`](fn@saga). [`SagaError::into_error`] gives the body's error alone; what could not be undone
    /// is in the error of this saga too, should it fail.
    pub async fn nested<T>(&self, body: impl AsyncFnOnce(&Self) -> Result<T, E>) -> Result<T, SagaError<E>>
    where
        M::Keep: Keep<Undoing<E>, RunError>,
        E: FromStep<RunError> + fmt::Display,
    {
        execute(&self.run, self.options, Some(self), body).await
    }

    /// Waits for `duration`: see [`Run::sleep`].
    ///
    /// # Errors
    /// As for [`Run::sleep`].
    pub fn sleep<N: Into<Key>>(
        &self,
        name: N,
        duration: Duration,
    ) -> impl Future<Output = Result<(), RunError>> {
        self.run.sleep(name, duration)
    }

    /// The run that the saga is of: for what has nothing to undo, such as waiting for an answer.
    #[must_use]
    pub const fn run(&self) -> &Run<M> {
        &self.run
    }

    /// The keys of the steps that would be undone now, in the order in which they were done.
    #[must_use]
    pub fn registered(&self) -> Vec<Key> {
        self.ledger.lock().done.iter().map(|done| done.step.clone()).collect()
    }
}

/// Executes the body, and undoes what it did where that is called for.
async fn execute<'c, T, E, M>(
    run: &Run<M>,
    options: SagaOptions,
    outer: Option<&Saga<'c, E, M>>,
    body: impl AsyncFnOnce(&Saga<'c, E, M>) -> Result<T, E>,
) -> Result<T, SagaError<E>>
where
    M: Mode,
    M::Keep: Keep<Undoing<E>, RunError>,
    E: FromStep<RunError> + fmt::Display,
{
    let decision = Decision::new(run);
    let is_made = decision.is_made();
    let saga = Saga {
        run: run.clone(),
        options,
        ledger: Ledger::new(),
        outer: outer.map(|outer| outer.ledger.clone()),
        replays: is_made || outer.is_some_and(|outer| outer.replays),
    };
    let mut story = Story::begin(run, decision.key());
    if is_made {
        // What the body ends in now was recorded when it ended first.
        let replay = AssertUnwindSafe(body(&saga)).catch_unwind();
        drop(__undo::only_recorded(run, replay).await);
        let undoing = decision.recall().await.map_err(SagaError::new)?;
        return saga.undo(undoing, &mut story).await;
    }
    let cause = match AssertUnwindSafe(body(&saga)).catch_unwind().await {
        Ok(Ok(value)) => {
            story.succeeded();
            return Ok(value);
        }
        Ok(Err(error)) => Cause::Failed(error),
        Err(panic) => Cause::panicked(&*panic),
    };
    if saga.stays() {
        return Err(SagaError::with(cause.into_error(), Rest::new(saga.in_doubt())));
    }
    story.failed(&cause);
    let undoing = decision.make(Undoing::of(&saga, cause)).await.map_err(SagaError::new)?;
    saga.undo(undoing, &mut story).await
}

impl<E, M: Mode> Saga<'_, E, M> {
    /// Whether what was done stays, for now or for good, though the body did not return a value.
    fn stays(&self) -> bool {
        let stays = match __undo::stopping(&self.run) {
            Some(Stopping::Interrupted | Stopping::Waiting) => true,
            Some(Stopping::Cancelled) => self.options.on_cancel == OnCancel::Keep,
            None => false,
        };
        // Where the saga around this one is being undone, it undoes these steps too.
        stays || self.replays || self.ledger.lock().done.is_empty()
    }

    pub(crate) fn in_doubt(&self) -> Vec<Key> {
        self.ledger.lock().in_doubt.clone()
    }

    pub(crate) const fn options(&self) -> SagaOptions {
        self.options
    }
}

impl<'c, E, M: Mode> __private::Handle for Saga<'c, E, M> {
    type Mode = M;
    type Target = Self;
    type Siblings = __undo::AllEnd;

    fn target(&self) -> &Self {
        self
    }

    fn run(&self) -> &Run<M> {
        &self.run
    }
}

impl<E, M> fmt::Debug for Saga<'_, E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saga").field("registered", &self.ledger).finish_non_exhaustive()
    }
}

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::extend::handle::{AllEnd, Handle};
use awaitly_core::extend::undo::{self, Stopping};
use awaitly_core::journal::Key;
use awaitly_core::step::{Keep, Once, Step};
use awaitly_core::{Durable, FromStep, Mode, Run, RunError, Volatile};
use futures_util::FutureExt;

use crate::compensation::Compensation;
use crate::each::SagaEach;
use crate::error::Rest;
use crate::ledger::Ledger;
use crate::step::{SagaStep, misplaced};
use crate::story::Story;
use crate::undo::{Cause, Decision, Undoing};
use crate::{OnCancel, SagaError, SagaOptions};

/// Executes `body` as a saga of `run`: gives its value, or undoes what its steps did and fails with its error.
///
/// `body` is an async closure, or any other that makes a future. It is called at once, and its future is polled when
/// that of the saga is. If no signature names the error of the body, its value does: `Ok::<_, TripError>(hold)`.
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
/// steps, and goes on undoing. Polled on other tasks, spawned ones, handles do not know of that: build steps on the task of
/// the body. A retry of the run does a saga that was undone anew, from its first step; one that could
/// not be undone goes on with the compensations that failed.
///
/// # Examples
/// See the [crate](crate).
pub fn saga<'c, T, E, M, Fut>(
    run: &Run<M>,
    body: impl FnOnce(Saga<'c, E, M>) -> Fut,
) -> impl Future<Output = Result<T, SagaError<E>>>
where
    M: Mode,
    M::Keep: Keep<Undoing<E>, RunError>,
    E: FromStep<RunError> + fmt::Display,
    Fut: Future<Output = Result<T, E>>,
{
    saga_with(run, SagaOptions::new(), body)
}

/// The same as [`saga`](fn@saga), with options.
///
/// # Errors
/// As for [`saga`](fn@saga), and so for panics, cancel safety and resuming.
pub fn saga_with<'c, T, E, M, Fut>(
    run: &Run<M>,
    options: SagaOptions,
    body: impl FnOnce(Saga<'c, E, M>) -> Fut,
) -> impl Future<Output = Result<T, SagaError<E>>>
where
    M: Mode,
    M::Keep: Keep<Undoing<E>, RunError>,
    E: FromStep<RunError> + fmt::Display,
    Fut: Future<Output = Result<T, E>>,
{
    let execution = Execution::new(run, options, None);
    let body = body(execution.saga.clone());
    execution.execute(body)
}

/// The handle on a saga, from which its steps are built.
///
/// Steps that nothing undoes may be built on it too, or on the run. `'c` is how long the compensations live: as long as
/// the call of [`saga`](fn@saga). `E` is what the saga fails with. Handles are passed on by reference and are cheap to
/// clone; what is done with one after the saga has ended, nobody undoes.
pub struct Saga<'c, E, M = Volatile> {
    run: Run<M>,
    options: SagaOptions,
    ledger: Ledger<'c, E, M>,
    /// Whether the body is called only to find what was recorded.
    replays: bool,
    /// The step whose operation it is executed in, if it is.
    inside: Option<(Key, u32)>,
    /// What follows its idempotency keys: nothing, until it was undone and is done anew.
    times: Arc<str>,
}

/// A saga whose steps are recorded.
pub type DurableSaga<'c, E> = Saga<'c, E, Durable>;

impl<'c, E, M> Saga<'c, E, M> {
    pub(crate) const fn ledger(&self) -> &Ledger<'c, E, M> {
        &self.ledger
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
    pub fn nested<T, Fut>(
        &self,
        body: impl FnOnce(Self) -> Fut,
    ) -> impl Future<Output = Result<T, SagaError<E>>>
    where
        M::Keep: Keep<Undoing<E>, RunError>,
        E: FromStep<RunError> + fmt::Display,
        Fut: Future<Output = Result<T, E>>,
    {
        self.nested_with(SagaOptions { name: None, ..self.options }, body)
    }

    /// The same as [`nested`](Self::nested), with options of its own.
    ///
    /// # Errors
    /// As for [`nested`](Self::nested).
    pub fn nested_with<T, Fut>(
        &self,
        options: SagaOptions,
        body: impl FnOnce(Self) -> Fut,
    ) -> impl Future<Output = Result<T, SagaError<E>>>
    where
        M::Keep: Keep<Undoing<E>, RunError>,
        E: FromStep<RunError> + fmt::Display,
        Fut: Future<Output = Result<T, E>>,
    {
        let execution = Execution::new(&self.run, options, Some(self));
        let body = body(execution.saga.clone());
        execution.execute(body)
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

impl<E> Saga<'_, E, Durable> {
    /// A text that is the same on every attempt and every resume of the step with this key, and another one where a retry
    /// does the saga anew after it was undone: so that a service does not take the new call for the one that was undone.
    /// For the compensation of a step, the key is `undo` and the step's. In a saga, use this instead of
    /// [`Run::idempotency_key`], of which it is the first one.
    #[must_use]
    pub fn idempotency_key(&self, key: &str) -> String {
        format!("{}{}", self.run.idempotency_key(key), self.times)
    }
}

/// A saga that is executed.
struct Execution<'r, 'c, E, M: Mode> {
    run: &'r Run<M>,
    decision: Decision<'r, M>,
    saga: Saga<'c, E, M>,
    is_misplaced: bool,
    /// What the saga that it is inside of has to undo.
    outer: Option<Outer<'c, E, M>>,
}

/// What a saga has not undone itself, the one around it may have to: because it succeeded, or was dropped.
struct Outer<'c, E, M> {
    ledger: Ledger<'c, E, M>,
    inner: Ledger<'c, E, M>,
    /// Whether this one is executed where that one is, and not inside of the operation of one of its steps.
    is_here: bool,
}

impl<E, M> Drop for Outer<'_, E, M> {
    fn drop(&mut self) {
        self.ledger.absorb(&self.inner);
    }
}

impl<'r, 'c, E, M: Mode> Execution<'r, 'c, E, M> {
    /// It takes its key here.
    fn new(run: &'r Run<M>, options: SagaOptions, outer: Option<&Saga<'c, E, M>>) -> Self {
        let decision = Decision::new(run, options.name);
        let replays = decision.is_made() || outer.is_some_and(|outer| outer.replays);
        let inside = undo::builder(run);
        let times = outer.map_or("", |outer| &*outer.times);
        let times = match decision.time() {
            1 => times.into(),
            time => format!("{times}@{time}").into(),
        };
        let saga = Saga { run: run.clone(), options, ledger: Ledger::new(), replays, inside, times };
        let outer = outer.map(|outer| Outer {
            ledger: outer.ledger.clone(),
            inner: saga.ledger.clone(),
            is_here: !M::RECORDS || outer.inside == saga.inside,
        });
        Self { run, decision, saga, is_misplaced: outer.as_ref().is_some_and(|outer| !outer.is_here), outer }
    }

    /// Executes the body, and undoes what it did where that is called for.
    async fn execute<T>(self, body: impl Future<Output = Result<T, E>>) -> Result<T, SagaError<E>>
    where
        M::Keep: Keep<Undoing<E>, RunError>,
        E: FromStep<RunError> + fmt::Display,
    {
        // Dropped last.
        let Self { outer: _outer, run, decision, saga, is_misplaced } = self;
        if is_misplaced {
            return Err(SagaError::new(E::from_step(misplaced(&saga, &decision.key()))));
        }
        let decision_key = decision.key();
        let mut story = Story::begin(run, decision_key.clone());
        let body = AssertUnwindSafe(body).catch_unwind();
        if decision.is_made() {
            // What the body ends in now was recorded when it ended first.
            drop(undo::only_recorded(run, body).await);
            let undoing = decision.recall().await.map_err(SagaError::new)?;
            undoing.put_right(&saga.ledger);
            return saga.undo(undoing, decision_key, true, &mut story).await;
        }
        let cause = match body.await {
            Ok(Ok(value)) => {
                story.succeeded();
                return Ok(value);
            }
            Ok(Err(error)) => Cause::Failed(error),
            Err(panic) => Cause::panicked(&*panic),
        };
        let stays = saga.stays();
        if !stays {
            story.failed(&cause);
        }
        if stays || saga.ledger.lock().is_empty() {
            return Err(SagaError::with(cause.into_error(), Rest::new(saga.in_doubt())));
        }
        let cause = match (cause, undo::cancelled_wait(run)) {
            (Cause::Failed(_), Some(cancelled)) => Cause::Failed(E::from_step(cancelled)),
            (cause, _) => cause,
        };
        let undoing = Undoing::of(&saga, cause, decision.time());
        let undoing = decision.make(undoing).await.map_err(SagaError::new)?;
        saga.undo(undoing, decision_key, false, &mut story).await
    }
}

// By hand, so that `E` and `M` need not be `Clone`.
impl<E, M> Clone for Saga<'_, E, M> {
    fn clone(&self) -> Self {
        let Self { run, options, ledger, replays, inside, times } = self;
        let (run, ledger, inside, times) = (run.clone(), ledger.clone(), inside.clone(), Arc::clone(times));
        Self { run, options: *options, ledger, replays: *replays, inside, times }
    }
}

impl<E, M: Mode> Saga<'_, E, M> {
    /// Whether what was done stays, for now or for good, though the body did not return a value.
    fn stays(&self) -> bool {
        let stays = match undo::stopping(&self.run) {
            Some(Stopping::Interrupted | Stopping::Waiting) => true,
            Some(Stopping::Cancelled) => self.options.on_cancel == OnCancel::Keep,
            None => false,
        };
        // Where the saga around this one is being undone, it undoes these steps too.
        stays || self.replays
    }

    /// Whether what is executed here is executed by the body, and not by the operation of another recorded step.
    pub(crate) fn is_here(&self) -> bool {
        !M::RECORDS || undo::builder(&self.run) == self.inside
    }

    pub(crate) fn in_doubt(&self) -> Vec<Key> {
        self.ledger.lock().in_doubt.clone()
    }

    pub(crate) const fn options(&self) -> SagaOptions {
        self.options
    }
}

impl<'c, E, M: Mode> Handle for Saga<'c, E, M> {
    type Mode = M;
    type Target = Self;
    type Siblings = AllEnd;

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

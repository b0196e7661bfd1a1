use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::extend::handle::Handle;
use awaitly_core::extend::undo;
use awaitly_core::journal::Key;
use awaitly_core::several::Each;
use awaitly_core::step::{Keep, Step};
use awaitly_core::{Durable, FromStep, Mode, Run, RunError, Volatile};
use futures_util::FutureExt;

use crate::compensation::{Compensation, misplaced};
use crate::error::Rest;
use crate::ledger::Ledger;
use crate::story::Story;
use crate::undo::{Cause, Decision, UndoDecision};
use crate::{SagaError, SagaOptions};

/// Executes `body` as a saga of `run`: returns its value, or undoes its steps and fails with its error.
///
/// `body` is an async closure, or any other closure that returns a future. This function calls `body` immediately; the
/// body's steps run when the saga's future is polled. If no signature names the error type of the body, annotate the
/// value that the body returns, for example `Ok::<_, TripError>(hold)`.
///
/// The saga undoes the successful steps that the body built on its [`Saga`] with [`compensate`](Step::compensate).
/// The compensations run one at a time in reverse order. Each compensation is a step of the run; its name is `undo`
/// followed by the key of the step that it undoes. If a compensation fails, the others still run, unless the option
/// [`stop_on_failure`](SagaOptions::stop_on_failure) is set. A step whose operation failed is not undone.
///
/// The saga undoes its steps if the body returns an error or panics. A cancellation of the run and the run's deadline
/// end the body's steps with an error, but they do not end a compensation. If a step waits for an answer from outside
/// or the run is interrupted, for example because the store fails, the saga undoes no step. The next execution of the
/// run then continues the saga.
///
/// # Errors
/// Returns a [`SagaError`] with the body's error and the steps that could not be undone. If the undo is interrupted,
/// for example because the store fails, the [`SagaError`] contains the [`RunError`] of the interruption instead, and
/// the next execution of the run continues the undo.
///
/// # Panics
/// Panics if the body panics, after the undo.
///
/// # Cancel safety
/// Dropping the future drops the step or compensation in flight, and no further step or compensation starts. The
/// effects of a volatile saga then remain as they are. A durable saga continues its body or its undo if the run is
/// executed again.
///
/// # Resume
/// A resumed run registers the compensations of the recorded steps again. Before the first compensation runs, the saga
/// records its decision to undo, with the body's error, under the key `undo`. From then on, a resumed run calls the
/// body only to find the recorded steps, and then continues the undo. During this call, the saga refuses unrecorded
/// steps, so that no new step is executed. It can refuse them only on the task of the body: do not build steps
/// on a spawned task.
///
/// `Workflow::retry` executes an undone saga again from its first step. If the undo failed, the retry continues with
/// the compensations that failed.
///
/// # Examples
/// The second step fails, so the first one is undone:
///
/// ```
/// use awaitly_core::{RunError, run, step};
/// use awaitly_saga::saga;
///
/// # async fn reserve(sku: &str) -> Result<u32, RunError> { Ok(sku.len() as u32) }
/// # async fn charge(_: u32) -> Result<(), RunError> { Err(RunError::Cancelled { step: None }) }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let released = std::sync::Mutex::new(Vec::new());
/// let release = async |hold| Ok::<_, RunError>(released.lock().unwrap().push(hold));
/// let order = run(async |run| {
///     saga(run, async |saga| {
///         let hold = step!(saga, compensate = &release, reserve("tea"));
///         step!(saga, charge(hold));
///         Ok::<_, RunError>(hold)
///     })
///     .await
/// })
/// .await;
/// assert!(order.unwrap_err().is_undone());
/// assert_eq!(*released.lock().unwrap(), [3]);
/// # });
/// ```
pub fn saga<'c, T, E, M, Fut>(
    run: &Run<M>,
    body: impl FnOnce(Saga<'c, E, M>) -> Fut,
) -> impl Future<Output = Result<T, SagaError<E>>>
where
    M: Mode + Keep<UndoDecision<E>, RunError>,
    E: FromStep<RunError> + fmt::Display,
    Fut: Future<Output = Result<T, E>>,
{
    saga_with(run, SagaOptions::new(), body)
}

/// Executes a saga like [`saga`](fn@saga), with options.
///
/// # Errors
/// As for [`saga`](fn@saga). The sections on panics, cancel safety and resume of [`saga`](fn@saga) apply too.
///
/// # Examples
/// ```
/// use awaitly_core::{Run, RunError, step};
/// use awaitly_saga::{SagaError, SagaOptions, saga_with};
///
/// # async fn rent(_: &str) -> Result<u32, RunError> { Ok(7) }
/// # async fn give_back(_: u32) -> Result<(), RunError> { Ok(()) }
/// async fn move_house(run: &Run) -> Result<u32, SagaError<RunError>> {
///     let options = SagaOptions::new().name("move").keep_on_cancel();
///     saga_with(run, options, async |saga| Ok(step!(saga, compensate = give_back, rent("van")))).await
/// }
/// ```
pub fn saga_with<'c, T, E, M, Fut>(
    run: &Run<M>,
    options: SagaOptions,
    body: impl FnOnce(Saga<'c, E, M>) -> Fut,
) -> impl Future<Output = Result<T, SagaError<E>>>
where
    M: Mode + Keep<UndoDecision<E>, RunError>,
    E: FromStep<RunError> + fmt::Display,
    Fut: Future<Output = Result<T, E>>,
{
    let execution = Execution::new(run, options, None);
    let body = body(execution.saga.clone());
    execution.execute(body)
}

/// The handle of a saga, from which the body builds its steps.
///
/// Build steps with a compensation on this handle. Steps without a compensation can be built on it or on the run.
///
/// `'c` is the lifetime of the compensations: they can borrow values that live longer than the call of
/// [`saga`](fn@saga). `E` is the error type of the saga. Pass a handle to other functions by reference, or clone it: a
/// clone is cheap. If a step of a handle is executed after the saga has ended, the step is never undone.
///
/// On a durable run, build no step with a compensation inside the operation of another step: it fails with
/// [`RunError::Refused`], and the run stops. A resumed run does not call the operation of a recorded step, so the saga
/// could not find and undo such a step.
pub struct Saga<'c, E, M = Volatile> {
    run: Run<M>,
    options: SagaOptions,
    ledger: Ledger<'c, E, M>,
    /// Whether the body is called only to find the recorded steps.
    replays: bool,
    /// The step whose operation executes the saga, if there is one.
    inside: Option<(Key, u32)>,
    /// The suffix of the saga's idempotency keys: empty until the saga is undone, and different after each undo.
    times: Arc<str>,
}

/// A saga that records its steps.
pub type DurableSaga<'c, E> = Saga<'c, E, Durable>;

impl<'c, E, M> Saga<'c, E, M> {
    pub(crate) const fn ledger(&self) -> &Ledger<'c, E, M> {
        &self.ledger
    }
}

impl<'c, E, M: Mode> Saga<'c, E, M> {
    /// Builds a step named `name` that runs `operation`, like [`Run::step`]. [`compensate`](Step::compensate) and
    /// [`compensate_in`](Step::compensate_in) add a compensation. [`compensate_retry`](Step::compensate_retry) and
    /// [`compensate_timeout`](Step::compensate_timeout) then apply to the compensation:
    ///
    /// ```
    /// use awaitly_core::clock::{ms, secs};
    /// use awaitly_core::{Retry, RunError, step};
    /// use awaitly_saga::Saga;
    ///
    /// # async fn reserve(_: &str) -> Result<u32, RunError> { Ok(7) }
    /// # async fn release(_: u32) -> Result<(), RunError> { Ok(()) }
    /// async fn hold(saga: &Saga<'_, RunError>) -> Result<u32, RunError> {
    ///     let hold = saga
    ///         .step("hold", || reserve("tea"))
    ///         .timeout(secs(1))
    ///         .compensate(release)
    ///         .compensate_retry(Retry::fixed(ms(50)))
    ///         .compensate_timeout(secs(5));
    ///     Ok(step!(hold))
    /// }
    /// ```
    ///
    /// With `compensate_in`, the record that the step is undone commits together with the writes of the compensation:
    ///
    /// ```
    /// use awaitly_core::store::{Transactional, Tx};
    /// use awaitly_core::{RunError, step};
    /// use awaitly_saga::DurableSaga;
    ///
    /// # async fn debit<T>(tx: Tx<T>, cents: u64) -> Result<u64, RunError> { Ok(cents) }
    /// # async fn credit<T>(tx: Tx<T>, cents: u64) -> Result<(), RunError> { Ok(()) }
    /// async fn pay<'c>(
    ///     saga: &DurableSaga<'c, RunError>,
    ///     store: &'c impl Transactional,
    /// ) -> Result<u64, RunError> {
    ///     let debited = step!(saga
    ///         .step("debit", move |tx| debit(tx, 4200))
    ///         .transaction(store)
    ///         .compensate_in(store, move |tx, cents| credit(tx, cents)));
    ///     Ok(debited)
    /// }
    /// ```
    ///
    /// # Cancel safety
    /// As for a [`Step`]. If the step is dropped while its operation is in flight, it is
    /// [in doubt](SagaError::in_doubt).
    ///
    /// # Resume
    /// A resumed run does not execute a recorded step again, but registers its compensation with the recorded value.
    pub fn step<'s, F>(
        &'s self,
        name: impl Into<Key>,
        operation: F,
    ) -> Step<'s, F, (), M, (), Compensation<'s, 'c, E, M>> {
        undo::undoable(self.run.step(name, operation), Compensation::none(self))
    }

    /// Builds a step for each of `items`, with a limit on the number of steps in flight, like [`Run::each`].
    /// [`compensate`](Each::compensate) adds a compensation; the step of each item receives a clone of it.
    ///
    /// After a failure, no further item begins, and the list waits for the items in flight, so that the saga knows their
    /// effects and undoes them. An item that is dropped in flight is [in doubt](SagaError::in_doubt).
    ///
    /// ```
    /// use awaitly_core::{RunError, run, step};
    /// use awaitly_saga::saga;
    ///
    /// # async fn send(parcel: u32) -> Result<u32, RunError> { Ok(parcel * 10) }
    /// # async fn call_back(shipment: u32) -> Result<(), RunError> { Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let sent = run(async |run| {
    ///     saga(run, async |saga| {
    ///         let sent = step!(saga.each("send", [1, 2, 3], send).compensate(call_back).concurrency(2));
    ///         Ok::<_, RunError>(sent)
    ///     })
    ///     .await
    /// })
    /// .await;
    /// assert_eq!(sent.unwrap(), [10, 20, 30]);
    /// # });
    /// ```
    pub fn each<'s, I, F>(
        &'s self,
        name: impl Into<Key>,
        items: I,
        operation: F,
    ) -> Each<'s, M, I::Item, F, (), M, (), Compensation<'s, 'c, E, M>>
    where
        I: IntoIterator,
    {
        undo::undoable_each(self.run.each(name, items, operation), Compensation::none(self))
    }

    /// Executes `body` as a nested saga. If the nested saga fails, it undoes its own steps, and the outer body handles
    /// the error. If the nested saga succeeds, its steps belong to the outer saga: a later failure of the outer saga
    /// also undoes them.
    ///
    /// # Errors
    /// As for [`saga`](fn@saga). [`SagaError::into_error`] returns the body's error alone. If the outer saga fails as
    /// well, its error also lists the steps that the nested saga could not undo.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{RunError, run, step};
    /// use awaitly_saga::saga;
    ///
    /// # async fn book(what: &str) -> Result<u32, RunError> { if what == "bus" { Err(RunError::Cancelled { step: None }) } else { Ok(7) } }
    /// # async fn cancel(_: u32) -> Result<(), RunError> { Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let seat = run(async |run| {
    ///     saga(run, async |saga| {
    ///         let by_bus = saga.nested(async |saga| Ok(step!(saga, compensate = cancel, book("bus"))));
    ///         match by_bus.await {
    ///             Ok(seat) => Ok(seat),
    ///             Err(_) => Ok::<_, RunError>(step!(saga, "train", compensate = cancel, book("train"))),
    ///         }
    ///     })
    ///     .await
    /// })
    /// .await;
    /// assert_eq!(seat.unwrap(), 7);
    /// # });
    /// ```
    pub fn nested<T, Fut>(
        &self,
        body: impl FnOnce(Self) -> Fut,
    ) -> impl Future<Output = Result<T, SagaError<E>>>
    where
        M: Keep<UndoDecision<E>, RunError>,
        E: FromStep<RunError> + fmt::Display,
        Fut: Future<Output = Result<T, E>>,
    {
        self.nested_with(SagaOptions { name: None, ..self.options }, body)
    }

    /// Executes a nested saga like [`nested`](Self::nested), but with `options`. [`nested`](Self::nested) uses the
    /// options of the outer saga, except its name.
    ///
    /// # Errors
    /// As for [`nested`](Self::nested).
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_saga::{SagaError, SagaOptions, saga};
    ///
    /// # async fn book() -> Result<u32, RunError> { Ok(7) }
    /// # async fn cancel(_: u32) -> Result<(), RunError> { Ok(()) }
    /// async fn trip(run: &DurableRun) -> Result<u32, SagaError<RunError>> {
    ///     saga(run, async |saga| {
    ///         let inn = SagaOptions::new().name("inn"); // its decision to undo has the key `undo inn`
    ///         let room = saga.nested_with(inn, async |saga| Ok(step!(saga, compensate = cancel, book())));
    ///         room.await.map_err(SagaError::into_error)
    ///     })
    ///     .await
    /// }
    /// ```
    pub fn nested_with<T, Fut>(
        &self,
        options: SagaOptions,
        body: impl FnOnce(Self) -> Fut,
    ) -> impl Future<Output = Result<T, SagaError<E>>>
    where
        M: Keep<UndoDecision<E>, RunError>,
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

    /// Returns the run of the saga, for steps that need no compensation, for example to wait for an answer:
    ///
    /// ```
    /// use awaitly_core::{RunError, step};
    /// use awaitly_saga::DurableSaga;
    ///
    /// async fn signature(saga: &DurableSaga<'_, RunError>) -> Result<String, RunError> {
    ///     Ok(step!(saga.run().wait_for("signature")))
    /// }
    /// ```
    #[must_use]
    pub const fn run(&self) -> &Run<M> {
        &self.run
    }

    /// Returns the keys of the steps that the saga would undo now, in the order in which they succeeded.
    ///
    /// ```
    /// use awaitly_core::{RunError, run, step};
    /// use awaitly_saga::saga;
    ///
    /// # async fn book(_: &str) -> Result<u32, RunError> { Ok(7) }
    /// # async fn cancel(_: u32) -> Result<(), RunError> { Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let registered = run(async |run| {
    ///     saga(run, async |saga| {
    ///         step!(saga, "inn", compensate = cancel, book("inn"));
    ///         step!(saga, "map", book("map"));
    ///         Ok::<_, RunError>(saga.registered())
    ///     })
    ///     .await
    /// });
    /// assert_eq!(registered.await.unwrap(), ["inn".into()]);
    /// # });
    /// ```
    #[must_use]
    pub fn registered(&self) -> Vec<Key> {
        self.ledger.lock().done.iter().map(|done| done.step.clone()).collect()
    }
}

impl<E> Saga<'_, E, Durable> {
    /// Returns a text that identifies the step with this key to a service. The text stays equal on every attempt and
    /// every resume. It changes if a retry starts the saga anew after an undo, so that the service does not take the
    /// new call for the undone one. The key of a compensation is `undo`, a space and the step's key.
    ///
    /// In a saga, use this method instead of [`Run::idempotency_key`]. Both return equal texts until the first undo.
    ///
    /// ```
    /// use awaitly_core::{RunError, step};
    /// use awaitly_saga::DurableSaga;
    ///
    /// # async fn reserve(_key: String) -> Result<u32, RunError> { Ok(7) }
    /// # async fn release(_hold: u32, _key: String) -> Result<(), RunError> { Ok(()) }
    /// async fn hold(saga: &DurableSaga<'_, RunError>) -> Result<u32, RunError> {
    ///     let undo_key = saga.idempotency_key("undo reserve");
    ///     let release = move |hold| release(hold, undo_key.clone());
    ///     Ok(step!(saga, compensate = release, reserve(saga.idempotency_key("reserve"))))
    /// }
    /// ```
    #[must_use]
    pub fn idempotency_key(&self, key: &str) -> String {
        format!("{}{}", self.run.idempotency_key(key), self.times)
    }
}

/// One execution of a saga.
struct Execution<'r, 'c, E, M: Mode> {
    run: &'r Run<M>,
    decision: Decision<'r, M>,
    saga: Saga<'c, E, M>,
    is_misplaced: bool,
    /// The ledger of the outer saga, if there is one.
    outer: Option<Outer<'c, E, M>>,
}

/// The link to the outer saga. If the inner saga succeeded or was dropped, the outer saga takes over its ledger.
struct Outer<'c, E, M> {
    ledger: Ledger<'c, E, M>,
    inner: Ledger<'c, E, M>,
    /// Whether both sagas execute in one body, and not one in the operation of a step of the other.
    is_here: bool,
}

impl<E, M> Drop for Outer<'_, E, M> {
    fn drop(&mut self) {
        self.ledger.absorb(&self.inner);
    }
}

impl<'r, 'c, E, M: Mode> Execution<'r, 'c, E, M> {
    /// Takes the key of the decision here.
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

    /// Executes the body, and undoes its steps if it failed.
    async fn execute<T>(self, body: impl Future<Output = Result<T, E>>) -> Result<T, SagaError<E>>
    where
        M: Keep<UndoDecision<E>, RunError>,
        E: FromStep<RunError> + fmt::Display,
    {
        // `_outer` is dropped last.
        let Self { outer: _outer, run, decision, saga, is_misplaced } = self;
        if is_misplaced {
            return Err(SagaError::new(E::from_step(misplaced(&saga, &decision.key()))));
        }
        let decision_key = decision.key();
        let mut story = Story::begin(run, decision_key.clone());
        let body = AssertUnwindSafe(body).catch_unwind();
        if decision.is_made() {
            // The decision holds the first result of the body, so the result of this call is ignored.
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
        let undoing = UndoDecision::of(&saga, cause, decision.time());
        let undoing = decision.make(undoing).await.map_err(SagaError::new)?;
        saga.undo(undoing, decision_key, false, &mut story).await
    }
}

// Implemented without a derive, so that `E` and `M` need not be `Clone`.
impl<E, M> Clone for Saga<'_, E, M> {
    fn clone(&self) -> Self {
        let Self { run, options, ledger, replays, inside, times } = self;
        let (run, ledger, inside, times) = (run.clone(), ledger.clone(), inside.clone(), Arc::clone(times));
        Self { run, options: *options, ledger, replays: *replays, inside, times }
    }
}

impl<E, M: Mode> Saga<'_, E, M> {
    /// Whether the effects stay, for now or for good, although the body did not return a value.
    fn stays(&self) -> bool {
        let is_kept = self.options.keeps_on_cancel && undo::is_cancelled(&self.run);
        // If the outer saga is being undone, it undoes these steps too.
        undo::pauses(&self.run) || is_kept || self.replays
    }

    /// Whether the body executes this code, and not the operation of another recorded step.
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
    const WAITS_FOR_SIBLINGS: bool = true;

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

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::keep::{AsText, KeepRun, Typed};
use super::trace::CurrentTrace;
use crate::clock::Clock;
use crate::error::{FromStep, RunError};
use crate::event::Observer;
use crate::guard::Refusal;
use crate::hook::{AfterStep, BeforeRun, RunInfo, StepInfo};
use crate::journal::{EncodeError, Migration, Migrations, ResumeState};
use crate::run::{DurableRun, Run};
use crate::stage::Stage;
use crate::store::{Absent, AnyStore, Durability, Input, Open, Purpose, Store};

/// A definition of runs: a name, a version, where the journals rest, who watches.
///
/// Cheap to clone, so that settings for one run are made by deriving:
/// `checkout.clone().input(&cart).run(..)`.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`version`](Self::version) | 1 |
/// | [`store`](Self::store) | none: the journal lives as long as the run |
/// | [`deadline`](Self::deadline), [`cancel_on`](Self::cancel_on) | none |
/// | [`lease`](Self::lease) | 30 seconds |
/// | [`durability`](Self::durability) | [`Durability::Sync`] |
/// | [`park_after`](Self::park_after) | never: a run that sleeps keeps its task |
/// | [`clock`](Self::clock) | [`SystemClock`](crate::clock::SystemClock), and that of the store for moments that are recorded |
/// | [`seed`](Self::seed) | another one for each execution |
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError, Workflow, step};
///
/// # async fn reserve(sku: &str) -> Result<u32, RunError> { Ok(7) }
/// async fn place_order(run: &DurableRun, sku: &str) -> Result<u32, RunError> {
///     let hold = step!(run, reserve(sku));
///     Ok(hold)
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let checkout = Workflow::new("checkout");
/// let hold = checkout.run("order-42", async |run| place_order(run, "tea").await).await;
/// assert_eq!(hold, Ok(7));
/// # });
/// ```
pub struct Workflow<X = Typed> {
    pub(super) definition: Definition,
    errors: PhantomData<fn() -> X>,
}

/// All of a workflow but what is kept of its errors.
#[derive(Clone)]
pub(super) struct Definition {
    pub(super) name: Arc<str>,
    pub(super) version: u32,
    pub(super) store: Option<AnyStore>,
    pub(super) migrations: Migrations,
    pub(super) observers: Vec<Arc<dyn Observer>>,
    pub(super) before_run: Option<BeforeRun>,
    pub(super) after_step: Option<AfterStep>,
    pub(super) deadline: Option<Duration>,
    pub(super) token: Option<CancellationToken>,
    /// `None`: the clock of the system, and for moments that are recorded that of the store.
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) durability: Durability,
    pub(super) park_after: Option<Duration>,
    pub(super) seed: Option<u64>,
    pub(super) stage: Option<Arc<dyn Stage>>,
    pub(super) trace: Option<Arc<CurrentTrace>>,
    pub(super) lease: Duration,
    pub(super) absent: Absent,
    pub(super) input: Option<Result<Input, EncodeError>>,
}

impl Workflow {
    /// A workflow of that name. The runs of a store remember the name of theirs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let definition = Definition {
            name: name.into(),
            version: 1,
            store: None,
            migrations: Migrations::default(),
            observers: Vec::new(),
            before_run: None,
            after_step: None,
            deadline: None,
            token: None,
            clock: None,
            durability: Durability::Sync,
            park_after: None,
            seed: None,
            stage: None,
            trace: None,
            lease: Open::DEFAULT_TTL,
            absent: Absent::Begin,
            input: None,
        };
        Self { definition, errors: PhantomData }
    }

    /// Keeps the error of a failed run as text, with the errors that it was caused by as far as its
    /// `{:#}` shows them. For errors without serde, such as `anyhow::Error`.
    ///
    /// A later call for a run that failed gives [`RunError::Failed`].
    #[must_use]
    pub fn errors_as_text(self) -> Workflow<AsText> {
        Workflow { definition: self.definition, errors: PhantomData }
    }
}

impl<X> Workflow<X> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.definition.name)
    }

    /// Whether it has a [`store`](Self::store). Without one, a run id is not known once its run has ended.
    #[must_use]
    pub const fn has_store(&self) -> bool {
        self.definition.store.is_some()
    }

    /// The version of the code. A journal of an older version goes through the
    /// [`migration`](Self::migration)s; one of a newer version is refused.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.definition.version = version;
        self
    }

    /// Where journals rest.
    #[must_use]
    pub fn store(self, store: impl Store) -> Self {
        self.any_store(AnyStore::new(store))
    }

    /// Where journals rest, chosen when the program runs.
    #[must_use]
    pub fn any_store(mut self, store: AnyStore) -> Self {
        self.definition.store = Some(store);
        self
    }

    /// How a journal of version `from` becomes one of version `from + 1`.
    ///
    /// It is applied when a run of that version is resumed, and the new journal is stored whole before the
    /// body is called. Where it fails, the stored journal is as it was.
    #[must_use]
    pub fn migration(mut self, from: u32, migration: Migration) -> Self {
        self.definition.migrations.insert(from, migration);
        self
    }

    /// Tells `observer` what happens in the runs. Several may watch.
    #[must_use]
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.definition.observers.push(Arc::new(observer));
        self
    }

    /// Calls `hook` before the body, when the lease is held. An error keeps the body from being called:
    /// the run ends in [`RunError::Refused`] and stays as it was; a panic of the hook does the same with
    /// [`RunError::Panicked`]. Not called for a run that has ended.
    #[must_use]
    pub fn before_run<H, Fut>(mut self, hook: H) -> Self
    where
        H: Fn(RunInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.definition.before_run = Some(Arc::new(move |info| Box::pin(hook(info))));
        self
    }

    /// Calls `hook` after each step that was recorded in this execution, before its value reaches the body.
    /// An error takes the place of the step's value, as [`RunError::Refused`]; the outcome is recorded all
    /// the same, and a resumed run uses it without calling the hook.
    #[must_use]
    pub fn after_step<H, Fut>(mut self, hook: H) -> Self
    where
        H: Fn(StepInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.definition.after_step = Some(Arc::new(move |info| Box::pin(hook(info))));
        self
    }

    /// How long one execution of a run may take. After that, its steps end in [`RunError::Timeout`], which is
    /// not recorded for the step; a run that is interrupted and resumed, or retried, has its time anew.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.definition.deadline = Some(deadline);
        self
    }

    /// Cancels the run when `token` is cancelled: its steps end in [`RunError::Cancelled`], and the run is
    /// cancelled for good, until it is [`retry`](Self::retry)ed. To stop for a while, as at a shutdown, drop
    /// the future of the run instead.
    #[must_use]
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.definition.token = Some(token);
        self
    }

    /// The clock that the runs live by: timeouts, delays, sleeps, and the renewal of leases. The leases
    /// themselves run by the clock of their store, so a virtual clock that stands still while a store's goes on
    /// lets a lease end.
    ///
    /// Without it, moments that are recorded, at which a sleep ends for one, are read off the store's clock: that
    /// of this machine may be wrong.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.definition.clock = Some(Arc::new(clock));
        self
    }

    /// What the recorded steps of the runs survive, where a step does not say otherwise. With
    /// [`Durability::Batched`] nothing waits for the disk: a crash of the system or a loss of power may lose
    /// the newest outcomes, never only some out of the middle, and their steps run again.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.definition.durability = durability;
        self
    }

    /// Ends a run that is to sleep for longer than this in [`RunError::Waiting`], so that it holds no task and
    /// no memory until then. It does not come back by itself: [`Operate::due`](crate::store::Operate::due)
    /// tells when it is to be run again.
    ///
    /// # Default
    /// Never: the task of the run waits.
    #[must_use]
    pub const fn park_after(mut self, sleep: Duration) -> Self {
        self.definition.park_after = Some(sleep);
        self
    }

    /// Records in which trace a run began, so that the trace of a resumed run can link to it. `current` returns the
    /// context of the current span, in the form of a `traceparent` header (W3C Trace Context); `None` if there is no
    /// trace.
    ///
    /// It is called once in the life of a run, before its body, and recorded under the key `trace` with
    /// [`Durability::Batched`]. The span `run` of each later execution has it as the field `began_in`.
    ///
    /// # Default
    /// Nothing is recorded.
    ///
    /// ```
    /// use awaitly_core::Workflow;
    ///
    /// # fn traceparent() -> Option<String> { None }
    /// // With OpenTelemetry, `traceparent` injects the context of `tracing::Span::current()`.
    /// let checkout = Workflow::new("checkout").trace_context(traceparent);
    /// ```
    #[must_use]
    pub fn trace_context(mut self, current: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.definition.trace = Some(Arc::new(current));
        self
    }

    /// Fixes all that is random in a run: the jitter of its retries.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.definition.seed = Some(seed);
        self
    }

    pub(crate) fn on_stage(mut self, stage: Arc<dyn Stage>) -> Self {
        self.definition.stage = Some(stage);
        self
    }

    pub(crate) fn alone(mut self) -> Self {
        let Definition { store, observers, before_run, after_step, token, stage, .. } = &mut self.definition;
        (*store, *before_run, *after_step, *token, *stage) = (None, None, None, None, None);
        observers.clear();
        self
    }

    /// Begins no run: one that is not in the store is [`RunError::NoSuchRun`]. It is for who resumes runs that the store
    /// told of, as a worker does: a run that was deleted meanwhile must not be executed from its first step. Without a
    /// store it does nothing.
    #[must_use]
    pub const fn only_existing(mut self) -> Self {
        self.definition.absent = Absent::Refuse;
        self
    }

    /// How long a run stays ours when this process stops without a word. The lease is renewed after each
    /// third of this time, by the task that runs the run: a body that blocks its thread for longer can lose
    /// the run to another process.
    #[must_use]
    pub const fn lease(mut self, ttl: Duration) -> Self {
        self.definition.lease = ttl;
        self
    }

    /// The input of the next run. It is kept when the run begins, and [`Run::input`](crate::Run::input) reads
    /// it, also in a resumed run that was given none. A run that is resumed with another one ends in
    /// [`RunError::InputChanged`].
    #[must_use]
    pub fn input<I: Serialize + ?Sized>(mut self, input: &I) -> Self {
        self.definition.input = Some(Input::of(input));
        self
    }

    /// Runs `body` under this run id, to its end.
    ///
    /// What was recorded before is not executed again. A run that completed gives its recorded value and
    /// one that failed its recorded error; in both cases `body` is not called.
    ///
    /// # Errors
    /// The body's own error, and what the library adds, as [`RunError`].
    ///
    /// Where the run is not opened, the body is not called, and the run stays as it is:
    ///
    /// - [`Busy`](RunError::Busy): another owner executes it;
    /// - [`OtherWorkflow`](RunError::OtherWorkflow): the run id belongs to a run of another workflow;
    /// - [`InputChanged`](RunError::InputChanged): it began with another input;
    /// - [`NewerVersion`](RunError::NewerVersion): its journal was written by a newer version of the workflow;
    /// - [`Migration`](RunError::Migration): its journal could not be brought to the version of the workflow;
    /// - [`Empty`](RunError::Empty): the run id or the name of the workflow is empty;
    /// - [`TooLarge`](RunError::TooLarge), [`Unencodable`](RunError::Unencodable): the run id or the name of the
    ///   workflow is too long, or the input too large or without a JSON form;
    /// - [`Refused`](RunError::Refused), [`Panicked`](RunError::Panicked): by the hook before the run.
    ///
    /// Where the run has ended before, the body is not called either: the recorded error of a run that failed comes
    /// back, as [`Failed`](RunError::Failed) where it was kept as text; [`Cancelled`](RunError::Cancelled) of one
    /// that was cancelled; [`Undecodable`](RunError::Undecodable) where what is recorded is not of the type that is
    /// asked for.
    ///
    /// Otherwise: [`Waiting`](RunError::Waiting) where the run is to be resumed later,
    /// [`Cancelled`](RunError::Cancelled) where it was cancelled, and what else its steps end in, all in the body's
    /// own error; [`Panicked`](RunError::Panicked) where the body panicked; [`Store`](RunError::Store) where the
    /// store failed, at opening too; [`Unencodable`](RunError::Unencodable) and [`TooLarge`](RunError::TooLarge)
    /// where its result cannot be recorded.
    ///
    /// # Cancel safety
    /// Dropping the future drops the step in flight and gives the lease back. The run is interrupted: it
    /// goes on where it is run again. Handles that are still about can do nothing more, and
    /// their steps end in [`Ended`](RunError::Ended).
    ///
    /// # Panics
    /// With the [`SystemClock`](crate::clock::SystemClock), outside of a tokio runtime with its timer enabled, when the body has to wait:
    /// the lease is renewed by time. A panic of the body is caught.
    ///
    /// # Resume
    /// The same call, with the same run id, after a crash or anything else.
    pub async fn run<T, E>(
        &self,
        run: impl Into<Arc<str>>,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> Result<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        self.execute(run.into(), Purpose::Resume, false, body).await.0
    }

    /// The same as [`run`](Self::run), but a run that failed or was cancelled is resumed too: from the step that it
    /// failed on, whose record is dropped; all other records stand.
    ///
    /// # Errors
    /// As for [`run`](Self::run), and so for panics, cancel safety and resuming.
    pub async fn retry<T, E>(
        &self,
        run: impl Into<Arc<str>>,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> Result<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        self.execute(run.into(), Purpose::Retry, false, body).await.0
    }

    /// Cancels a run that nobody executes, and lets its body undo what it did: what is recorded is found as ever,
    /// the first step that is not ends in [`RunError::Cancelled`], and what a saga has to undo then is undone.
    ///
    /// A run that [`Operate::cancel`](crate::store::Operate::cancel) cancelled already, or that was cancelled in
    /// the middle of this, can be given to it too; what was undone is not undone again. One that is not there yet is
    /// cancelled before it begins. To cancel a run that this process executes, cancel its token.
    ///
    /// # Errors
    /// As a rule [`RunError::Cancelled`], in the body's own error. [`RunError::Busy`] while another owner executes the
    /// run: ask that one by [`Operate::cancel`](crate::store::Operate::cancel). A run that has completed or failed
    /// gives what is recorded. Where something could not be undone, the run has failed with what the body returned.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the run as it was, with what was undone by then.
    pub async fn cancel<T, E>(
        &self,
        run: impl Into<Arc<str>>,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> Result<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        self.execute(run.into(), Purpose::Cancel, false, body).await.0
    }

    /// The same as [`run`](Self::run), with the journal beside the result, whether that is a value or an
    /// error. The state of a run that was not opened is empty. Everything else is as for [`run`](Self::run).
    pub async fn run_with_state<T, E>(
        &self,
        run: impl Into<Arc<str>>,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> (Result<T, E>, ResumeState)
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError> + fmt::Display,
    {
        self.execute(run.into(), Purpose::Resume, true, body).await
    }

    /// A run that starts from `state` and uses no store: what is recorded there is not executed again.
    pub const fn resume(&self, state: ResumeState) -> Resuming<'_, X> {
        Resuming { workflow: self, state }
    }

    /// Runs `body` with a handle whose steps are not recorded: no store, no run id to come back to, but
    /// observers, deadline, cancellation, clock and seed as set.
    ///
    /// # Errors
    /// What the body returns.
    ///
    /// # Panics
    /// Where the body does.
    ///
    /// # Cancel safety
    /// Dropping the future drops the step in flight; none starts after that.
    pub async fn run_volatile<T, E>(&self, body: impl AsyncFnOnce(&Run) -> Result<T, E>) -> Result<T, E>
    where
        E: fmt::Display,
    {
        self.execute_volatile(body).await
    }
}

/// A run that starts from a [`ResumeState`]. Made with [`Workflow::resume`].
#[derive(Debug)]
#[must_use = "call `run` on it"]
pub struct Resuming<'w, X> {
    workflow: &'w Workflow<X>,
    state: ResumeState,
}

impl<X> Resuming<'_, X> {
    /// Runs `body`, to its end.
    ///
    /// # Errors
    /// The body's own error, and what the library adds, as [`RunError`]: where the state is of another
    /// workflow, of a newer version, or cannot be migrated, or the workflow comes with another input, the body
    /// is not called. A recorded error of a step comes back as any other outcome;
    /// [`ResumeState::forget`] makes the step run again. A panic of the body is caught.
    ///
    /// # Cancel safety
    /// Dropping the future drops the step in flight. What was recorded since is lost with it: where that
    /// matters, use a store.
    pub async fn run<T, E>(self, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Result<T, E>
    where
        E: FromStep<RunError> + fmt::Display,
    {
        self.workflow.execute_state(self.state, body).await.0
    }

    /// The same as [`run`](Self::run), with the new state beside the result: the old records and those that
    /// were added. Where the body was not called, it is the state as it was given.
    pub async fn run_with_state<T, E>(
        self,
        body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
    ) -> (Result<T, E>, ResumeState)
    where
        E: FromStep<RunError> + fmt::Display,
    {
        self.workflow.execute_state(self.state, body).await
    }
}

// By hand, so that `X` need not be `Clone`.
impl<X> Clone for Workflow<X> {
    fn clone(&self) -> Self {
        Self { definition: self.definition.clone(), errors: PhantomData }
    }
}

impl<X> fmt::Debug for Workflow<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Definition { name, version, store, .. } = &self.definition;
        f.debug_struct("Workflow")
            .field("name", name)
            .field("version", version)
            .field("store", store)
            .finish_non_exhaustive()
    }
}

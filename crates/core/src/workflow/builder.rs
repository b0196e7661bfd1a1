use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::keep::KeepRun;
use super::trace::CurrentTrace;
use crate::clock::Clock;
use crate::error::{FromStep, RunError};
use crate::event::Observer;
use crate::guard::Refusal;
use crate::hook::{AfterStep, BeforeRun, RunInfo, StepInfo};
use crate::journal::{EncodeError, Migration, Migrations, ResumeState};
use crate::retry::Retry;
use crate::run::{DurableRun, Run};
use crate::shared::Attachment;
use crate::stage::Stage;
use crate::step::{Durable, ValuesOnly};
use crate::store::{AnyStore, Durability, Input, Open, Purpose, Store};

/// A definition of runs: a name, a version, a store for their journals, observers and limits.
///
/// A clone is cheap, so derive the settings of one run from the workflow: `checkout.clone().input(&cart).run(..)`.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`version`](Self::version) | 1 |
/// | [`store`](Self::store) | none: the journal lasts as long as the execution |
/// | [`deadline`](Self::deadline), [`cancel_on`](Self::cancel_on) | none |
/// | [`lease`](Self::lease) | 30 seconds |
/// | [`durability`](Self::durability) | [`Durability::Sync`] |
/// | [`park_after`](Self::park_after) | never: a sleeping run keeps its task |
/// | [`clock`](Self::clock) | [`SystemClock`](crate::clock::SystemClock); the store's clock for recorded moments |
/// | [`retry_runs`](Self::retry_runs) | never: a failed run stays failed |
/// | [`seed`](Self::seed) | a random one for each execution |
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
pub struct Workflow<X = Durable> {
    pub(super) definition: Definition,
    errors: PhantomData<fn() -> X>,
}

/// The settings of a workflow, without the form in which it keeps errors.
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
    /// `None` stands for the system's clock, and for the store's clock in recorded moments.
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) durability: Durability,
    pub(super) park_after: Option<Duration>,
    pub(super) seed: Option<u64>,
    pub(super) stage: Option<Arc<dyn Stage>>,
    pub(super) trace: Option<Arc<CurrentTrace>>,
    pub(super) lease: Duration,
    pub(super) must_exist: bool,
    pub(super) retry_runs: Option<Retry>,
    pub(super) attachment: Option<Attachment>,
    pub(super) input: Option<Result<Input, EncodeError>>,
}

impl Workflow {
    /// Creates a workflow with this name. The store keeps the name with each run, and refuses a run id that belongs to another
    /// workflow.
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
            must_exist: false,
            retry_runs: None,
            attachment: None,
            input: None,
        };
        Self { definition, errors: PhantomData }
    }

    /// Keeps the error of a failed run as text: the output of the error's `{:#}` format, which often contains the
    /// causes. Use this option for errors without serde, such as `anyhow::Error`.
    ///
    /// # Resume
    /// A later call for a failed run returns [`RunError::Failed`] with the text.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::Workflow;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let report = Workflow::new("report").errors_as_text();
    /// let failed: anyhow::Result<u32> = report.run("may", async |_| anyhow::bail!("no data")).await;
    /// assert_eq!(failed.unwrap_err().to_string(), "no data");
    /// # }
    /// ```
    #[must_use]
    pub fn errors_as_text(self) -> Workflow<ValuesOnly> {
        self.keeping()
    }
}

impl<X> Workflow<X> {
    /// Shares a value of another crate with the runs of the workflow.
    pub(crate) fn attach(mut self, attachment: Attachment) -> Self {
        self.definition.attachment = Some(attachment);
        self
    }

    /// Keeps errors as `Y` does.
    pub(crate) fn keeping<Y>(self) -> Workflow<Y> {
        Workflow { definition: self.definition, errors: PhantomData }
    }

    /// Creates a workflow that keeps errors as `X` does.
    pub(crate) fn named(name: Arc<str>) -> Self {
        Self { definition: Workflow::new(name).definition, errors: PhantomData }
    }

    /// Returns the version of the code, which [`version`](Self::version) sets.
    ///
    /// ```
    /// use awaitly_core::Workflow;
    ///
    /// assert_eq!(Workflow::new("checkout").version(3).code_version(), 3);
    /// ```
    #[must_use]
    pub const fn code_version(&self) -> u32 {
        self.definition.version
    }

    /// Returns the time that the lease of a run lasts unless it is renewed, which [`lease`](Self::lease) sets.
    #[must_use]
    pub const fn lease_time(&self) -> Duration {
        self.definition.lease
    }

    /// Returns the workflow's name.
    ///
    /// ```
    /// use awaitly_core::Workflow;
    /// use awaitly_core::store::DueQuery;
    ///
    /// let checkout = Workflow::new("checkout");
    /// let due = DueQuery::new().workflow(checkout.name());
    /// # assert!(due.asks_for("checkout"));
    /// ```
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.definition.name)
    }

    /// Returns `true` if the workflow has a [`store`](Self::store). Without a store, a run is forgotten when it ends.
    #[must_use]
    pub const fn has_store(&self) -> bool {
        self.definition.store.is_some()
    }

    /// Sets the version of the code. If a journal has an older version, the workflow applies its
    /// [`migration`](Self::migration)s; if a journal has a newer version, the workflow refuses the run.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let checkout = Workflow::new("checkout");
    /// let (_, state) = checkout.clone().version(2).run_with_state("order-42", async |_| Ok::<_, RunError>(7)).await;
    /// // A process with the older code refuses the run.
    /// let refused = checkout.resume(state).run(async |_| Ok::<u32, RunError>(8)).await;
    /// assert!(matches!(refused, Err(RunError::NewerVersion { stored: 2, code: 1, .. })));
    /// # }
    /// ```
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.definition.version = version;
        self
    }

    /// Sets the store for journals.
    ///
    /// ```
    /// use awaitly_core::Workflow;
    /// use awaitly_core::store::Store;
    ///
    /// /// In a program, `store` is for example the `SqliteStore` of `awaitly-persistence`.
    /// fn checkout(store: impl Store) -> Workflow {
    ///     Workflow::new("checkout").store(store)
    /// }
    /// ```
    #[must_use]
    pub fn store(self, store: impl Store) -> Self {
        self.any_store(AnyStore::new(store))
    }

    /// Sets the store for journals, if the program chooses its type at run time.
    ///
    /// ```
    /// use awaitly_core::Workflow;
    /// use awaitly_core::store::{AnyStore, Store};
    ///
    /// fn workflows(store: impl Store) -> [Workflow; 2] {
    ///     let store = AnyStore::new(store);
    ///     ["checkout", "refund"].map(|name| Workflow::new(name).any_store(store.clone()))
    /// }
    /// ```
    #[must_use]
    pub fn any_store(mut self, store: AnyStore) -> Self {
        self.definition.store = Some(store);
        self
    }

    /// Adds the migration of journals from version `from` to version `from + 1`.
    ///
    /// If a resumed run has version `from`, the workflow applies the migration to its journal, and stores the whole new
    /// journal before it calls the body. If the migration fails, the stored journal does not change.
    ///
    /// ```
    /// use awaitly_core::Workflow;
    /// use awaitly_core::journal::Migration;
    ///
    /// let checkout = Workflow::new("checkout").version(2).migration(1, Migration::rename("pay", "payment"));
    /// # let _ = checkout;
    /// ```
    #[must_use]
    pub fn migration(mut self, from: u32, migration: Migration) -> Self {
        self.definition.migrations.insert(from, migration);
        self
    }

    /// Adds an observer, which receives the events of all runs.
    ///
    /// ```
    /// use awaitly_core::Workflow;
    /// use awaitly_core::event::{Event, Observer};
    ///
    /// struct Log(&'static str);
    ///
    /// impl Observer for Log {
    ///     fn on_event(&self, event: &Event) {
    ///         println!("[{}] {} {}: {:?}", self.0, event.workflow, event.run, event.kind);
    ///     }
    /// }
    ///
    /// let checkout = Workflow::new("checkout").observe(Log("shop"));
    /// # let _ = checkout;
    /// ```
    #[must_use]
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.definition.observers.push(Arc::new(observer));
        self
    }

    /// Calls `hook` before the body, after the store has granted the lease. A workflow has one such hook; a later call replaces
    /// it.
    ///
    /// If the hook returns an error, the workflow does not call the body: it returns [`RunError::Refused`], and the
    /// stored run does not change. If the hook panics, the workflow returns [`RunError::Panicked`] instead. The
    /// workflow does not call the hook for a run that has ended, or for a run whose cancellation was requested.
    ///
    /// ```
    /// use awaitly_core::guard::Refusal;
    /// use awaitly_core::{RunError, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let closed = Workflow::new("checkout").before_run(async |_| Err(Refusal::new("shop", "it is Sunday")));
    /// let refused = closed.run("order-42", async |_| Ok::<u32, RunError>(7)).await;
    /// assert!(matches!(refused, Err(RunError::Refused { .. })));
    /// # }
    /// ```
    #[must_use]
    pub fn before_run<H, Fut>(mut self, hook: H) -> Self
    where
        H: Fn(RunInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.definition.before_run = Some(Arc::new(move |info| Box::pin(hook(info))));
        self
    }

    /// Calls `hook` after the store has recorded a step, before the body sees the step's value. A workflow has one such hook; a
    /// later call replaces it.
    ///
    /// If the hook returns an error, the step returns [`RunError::Refused`] instead of its value. The workflow does not
    /// call the hook for a compensation.
    ///
    /// # Resume
    /// The outcome stays recorded, and a resumed run uses it without a call of the hook.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::guard::Refusal;
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # async fn weigh() -> Result<u32, RunError> { Ok(40) }
    /// let checked = Workflow::new("parcel").after_step(async |info| match info.step.name.as_str() {
    ///     "weigh" => Err(Refusal::new("scale", "it needs calibration")),
    ///     _ => Ok(()),
    /// });
    /// let refused = checked.run("parcel-7", async |run| Ok::<_, RunError>(step!(run, weigh()))).await;
    /// assert!(matches!(refused, Err(RunError::Refused { .. })));
    /// # }
    /// ```
    #[must_use]
    pub fn after_step<H, Fut>(mut self, hook: H) -> Self
    where
        H: Fn(StepInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.definition.after_step = Some(Arc::new(move |info| Box::pin(hook(info))));
        self
    }

    /// Limits the time of one execution. After the deadline, the steps of the run end in [`RunError::Timeout`].
    ///
    /// # Resume
    /// The run does not record this timeout for a step. Each execution, after an interruption or a retry, has the full time.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::{mins, secs};
    /// use awaitly_core::{Limit, RunError, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let checkout = Workflow::new("checkout").deadline(secs(30));
    /// let late = checkout.run("order-42", async |run| run.sleep("packing", mins(5)).await).await;
    /// assert!(matches!(late, Err(RunError::Timeout { limit: Limit::Run, .. })));
    /// # }
    /// ```
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.definition.deadline = Some(deadline);
        self
    }

    /// Cancels the run if `token` is cancelled: its steps end in [`RunError::Cancelled`], and the run ends as cancelled. Only
    /// [`retry`](Self::retry) resumes it. To interrupt a run, for example at a shutdown, drop its future instead.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # async fn charge() -> Result<u32, RunError> { Ok(7) }
    /// let token = CancellationToken::new();
    /// let checkout = Workflow::new("checkout").cancel_on(token.clone());
    /// token.cancel();
    /// let cancelled = checkout.run("order-42", async |run| Ok::<_, RunError>(step!(run, charge()))).await;
    /// assert_eq!(cancelled, Err(RunError::Cancelled { step: Some("charge".into()) }));
    /// # }
    /// ```
    #[must_use]
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.definition.token = Some(token);
        self
    }

    /// Sets the clock for timeouts, delays, sleeps and the renewal of leases. The store measures leases with its own
    /// clock, so a lease can expire while a virtual clock stands still.
    ///
    /// # Default
    /// The system's clock; recorded moments, for example the end of a sleep, come from the store's clock, because the clock of
    /// this machine may be wrong.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::{VirtualClock, days};
    /// use awaitly_core::{RunError, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let clock = VirtualClock::new();
    /// let reminder = Workflow::new("reminder").clock(clock.clone());
    /// let (slept, ()) = tokio::join!(
    ///     reminder.run("order-42", async |run| run.sleep("until the reminder", days(3)).await),
    ///     async { clock.advance(days(3)) },
    /// );
    /// assert_eq!(slept, Ok::<_, RunError>(()));
    /// # }
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.definition.clock = Some(Arc::new(clock));
        self
    }

    /// Sets the durability of recorded steps; a step can override it. With [`Durability::Batched`], steps do not wait for the
    /// disk: a crash of the operating system or a power failure may lose the newest outcomes of a run, and their steps run
    /// again. If an outcome is lost, all newer outcomes of the run are lost too.
    ///
    /// ```
    /// use awaitly_core::store::Durability;
    /// use awaitly_core::{DurableRun, RunError, Workflow, step};
    ///
    /// # async fn copy(row: u32) -> Result<u32, RunError> { Ok(row) }
    /// # async fn publish() -> Result<u32, RunError> { Ok(7) }
    /// async fn import_rows(run: &DurableRun) -> Result<u32, RunError> {
    ///     step!(run, copy(1)); // may run again after a power failure
    ///     Ok(step!(run, "publish", durability = Durability::Sync, publish()))
    /// }
    ///
    /// let import = Workflow::new("import").durability(Durability::Batched);
    /// # let _ = import;
    /// ```
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.definition.durability = durability;
        self
    }

    /// Parks a run that sleeps for longer than `sleep`: the execution ends in [`RunError::Waiting`], so the run holds no task
    /// and no memory. When the sleep is over, [`Operate::due`](crate::store::Operate::due) lists the run, and a worker
    /// or your program resumes it.
    ///
    /// # Default
    /// Never: the task of the run waits.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::{days, mins};
    /// use awaitly_core::{RunError, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reminder = Workflow::new("reminder").park_after(mins(10));
    /// let parked = reminder.run("order-42", async |run| run.sleep("until the reminder", days(3)).await);
    /// assert_eq!(parked.await, Err(RunError::Waiting { step: "until the reminder".into() }));
    /// # }
    /// ```
    #[must_use]
    pub const fn park_after(mut self, sleep: Duration) -> Self {
        self.definition.park_after = Some(sleep);
        self
    }

    /// Records the trace that began a run, so that the trace of a resumed run can link to it. `current` returns the context of
    /// the current span, in the form of a `traceparent` header (W3C Trace Context), or `None` if there is no trace.
    ///
    /// The workflow calls `current` once per run, before the body, and records the returned context under the key
    /// `trace` with [`Durability::Batched`]. The span `run` of each later execution contains this context in the field
    /// `began_in`.
    ///
    /// # Default
    /// The run records no trace.
    ///
    /// # Examples
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

    /// Sets the seed for the randomness of a run: the jitter of its retries.
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

    /// Refuses to begin runs: if the store has no run with the given run id, [`run`](Self::run) returns
    /// [`RunError::NoSuchRun`]. A worker needs this option, because an operator can delete a run after the store has
    /// listed it, and the worker must not begin the run again. Without a store, this option has no effect.
    ///
    /// ```
    /// use awaitly_core::store::Due;
    /// use awaitly_core::{RunError, Workflow};
    ///
    /// async fn resume(checkout: &Workflow, due: Due) -> Result<u32, RunError> {
    ///     let checkout = checkout.clone().only_existing();
    ///     match checkout.run(due.run.to_shared(), async |_| Ok(7)).await {
    ///         Err(RunError::NoSuchRun { .. }) => Ok(0), // an operator has deleted it
    ///         result => result,
    ///     }
    /// }
    /// ```
    #[must_use]
    pub const fn only_existing(mut self) -> Self {
        self.definition.must_exist = true;
        self
    }

    /// Lets a worker retry failed runs, each from the step that it failed on. The attempts of the policy count
    /// executions that fail, and its delays pass in the store. A message or an answer does not shorten a delay. If the
    /// attempts are used up, the run stays failed.
    ///
    /// Only a worker of `awaitly-engine` applies the policy. [`run`](Self::run) returns the error of the first failed
    /// execution, and the run stays failed. A cancelled run is not retried.
    ///
    /// # Default
    /// A failed run stays failed, until [`retry`](Self::retry) is called.
    ///
    /// # Resume
    /// The journal counts the failed executions under [`Key::RUN_RETRIES`](crate::journal::Key::RUN_RETRIES), so another
    /// worker continues the count.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::{hours, mins};
    /// use awaitly_core::{Retry, Workflow};
    ///
    /// let report = Workflow::new("report").retry_runs(Retry::exponential(mins(1)).max_delay(hours(6)).attempts(10));
    /// # let _ = report;
    /// ```
    #[must_use]
    pub fn retry_runs(mut self, retry: Retry) -> Self {
        self.definition.retry_runs = Some(retry);
        self
    }

    /// Sets how long the lease of a run lasts without a renewal: if this process dies, another one can resume the run after this
    /// time. The task of the run renews the lease after each third of the time. A body that blocks its thread prevents
    /// the renewal, and can lose the run to another process.
    ///
    /// # Default
    /// 30 seconds.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::Workflow;
    /// use awaitly_core::clock::mins;
    ///
    /// // The body may block its thread for almost five minutes, for example to compress a video.
    /// let videos = Workflow::new("video").lease(mins(5));
    /// # let _ = videos;
    /// ```
    #[must_use]
    pub const fn lease(mut self, ttl: Duration) -> Self {
        self.definition.lease = ttl;
        self
    }

    /// Sets the input of the runs that this workflow begins. The store keeps it when a run begins, and
    /// [`Run::input`](crate::Run::input) reads it. Set it on a clone, so that it belongs to one run.
    ///
    /// # Resume
    /// A resumed run reads its recorded input, so the workflow that resumes it needs no input. If that workflow has a
    /// different input, [`run`](Self::run) returns [`RunError::InputChanged`], and the stored run does not change.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{RunError, Workflow};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let square_of_three = Workflow::new("square").input(&3);
    /// let nine = square_of_three.run("three", async |run| {
    ///     let n: u32 = run.input()?;
    ///     Ok::<_, RunError>(n * n)
    /// });
    /// assert_eq!(nine.await, Ok(9));
    /// # }
    /// ```
    #[must_use]
    pub fn input<I: Serialize + ?Sized>(mut self, input: &I) -> Self {
        self.definition.input = Some(Input::of(input));
        self
    }

    /// Executes `body` as the run with this id, and returns its result.
    ///
    /// A step that the store has recorded is not executed again. If the run has completed, the call returns the recorded value;
    /// if it has failed, the call returns the recorded error. In both cases the workflow does not call `body`.
    ///
    /// # Errors
    /// Returns the body's own error, or a [`RunError`] in the body's error type.
    ///
    /// If the store does not open the run, the workflow does not call the body, and the stored run does not change:
    ///
    /// - [`Busy`](RunError::Busy) if another owner executes the run;
    /// - [`OtherWorkflow`](RunError::OtherWorkflow) if the run id belongs to a run of another workflow;
    /// - [`NoSuchRun`](RunError::NoSuchRun) if the store has no such run and [`only_existing`](Self::only_existing) is
    ///   set;
    /// - [`InputChanged`](RunError::InputChanged) if the run began with a different input;
    /// - [`NewerVersion`](RunError::NewerVersion) if a newer version of the workflow wrote the journal;
    /// - [`Migration`](RunError::Migration) if the journal cannot be migrated to the version of the workflow;
    /// - [`Empty`](RunError::Empty) if the run id or the name of the workflow is empty;
    /// - [`TooLarge`](RunError::TooLarge) or [`Unencodable`](RunError::Unencodable) if the run id or the name of the workflow is
    ///   too long, or the input is too large or has no JSON form;
    /// - [`Refused`](RunError::Refused) or [`Panicked`](RunError::Panicked) if the hook before the run refuses or panics.
    ///
    /// If the run has already ended, the call returns the recorded error of a failed run, or [`Failed`](RunError::Failed) if
    /// the workflow keeps errors as text; [`Cancelled`](RunError::Cancelled) for a cancelled run; and
    /// [`Undecodable`](RunError::Undecodable) if the recorded result does not decode as the expected type.
    ///
    /// If the workflow calls the body, the call returns the error of the body, which can be the failure of a step. It
    /// also returns, in the body's own error type:
    ///
    /// - [`Waiting`](RunError::Waiting) if the run waits;
    /// - [`Cancelled`](RunError::Cancelled) if the run is cancelled;
    /// - [`Panicked`](RunError::Panicked) if the body panics;
    /// - [`Store`](RunError::Store) if the store fails;
    /// - [`Unencodable`](RunError::Unencodable) or [`TooLarge`](RunError::TooLarge) if the result cannot be recorded.
    ///
    /// # Cancel safety
    /// Dropping the future drops the step in flight and releases the lease. The run is interrupted, and the next call resumes
    /// it. A handle that outlives the future is useless: its steps return [`Ended`](RunError::Ended).
    ///
    /// # Panics
    /// Panics if the body has to wait, the workflow uses the [`SystemClock`](crate::clock::SystemClock), and the call
    /// is outside a tokio runtime with an enabled timer, because the renewal of the lease needs the timer. The workflow
    /// catches a panic of the body.
    ///
    /// # Resume
    /// To resume a run, for example after a crash, make this call again with the run id.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # async fn charge(cents: u32, _key: String) -> Result<u32, RunError> { Ok(cents) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let checkout = Workflow::new("checkout"); // with `.store(..)`, the outcomes survive a crash
    /// let paid = checkout.run("order-42", async |run| {
    ///     Ok::<_, RunError>(step!(run, "charge", charge(4200, run.idempotency_key("charge"))))
    /// });
    /// assert_eq!(paid.await, Ok(4200));
    /// # }
    /// ```
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

    /// Executes a run as [`run`](Self::run) does, and also resumes a run that has failed or was cancelled. The store
    /// drops the records of the steps on which the run failed, and keeps all other records.
    ///
    /// # Errors
    /// Returns the errors of [`run`](Self::run), except the recorded error of a failed or cancelled run. The sections
    /// of [`run`](Self::run) on panics, cancel safety and resuming apply to this method too.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::journal::Status;
    /// use awaitly_core::store::{Operate, RunQuery};
    /// use awaitly_core::{DurableRun, RunError, Workflow};
    ///
    /// # async fn place_order(_run: &DurableRun) -> Result<u32, RunError> { Ok(7) }
    /// /// Retries the failed orders, for example after the payment service is back.
    /// async fn retry_failed(store: &impl Operate, checkout: &Workflow) -> Result<(), RunError> {
    ///     let failed = RunQuery::new().workflow(checkout.name()).status(Status::Failed);
    ///     for order in store.list(failed).await?.items {
    ///         checkout.retry(order.run.to_shared(), async |run| place_order(run).await).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
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

    /// Cancels a run that has no owner, and calls its body so that it can undo its work: recorded steps return their outcomes,
    /// the first step without a record returns [`RunError::Cancelled`], and a saga then runs its compensations.
    ///
    /// The call also finishes a cancellation that [`Operate::cancel`](crate::store::Operate::cancel) requested or that was
    /// interrupted; a completed compensation does not run again. If the run does not exist, it is recorded as cancelled without
    /// a call of the body. To cancel a run that this process executes, cancel its token. The page `docs/operating.md` compares
    /// all ways to cancel in one table.
    ///
    /// # Errors
    /// Returns [`RunError::Cancelled`] in the body's own error type if the run is now cancelled. Returns
    /// [`RunError::Busy`] if another owner executes the run; request the cancellation with
    /// [`Operate::cancel`](crate::store::Operate::cancel) instead. Returns [`RunError::TooLateToCancel`] if the body
    /// has declared that it is [too late to cancel](crate::Run::too_late_to_cancel). If the run has already completed
    /// or failed, returns its recorded result. If a compensation fails, the run fails with the error that the body
    /// returns.
    ///
    /// # Cancel safety
    /// Dropping the future interrupts the undo; completed compensations stay recorded, and the next call continues.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{DurableRun, RunError, Workflow};
    ///
    /// # async fn place_order(_run: &DurableRun) -> Result<u32, RunError> { Ok(7) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let checkout = Workflow::new("checkout");
    /// let cancelled = checkout.cancel("order-42", async |run| place_order(run).await).await;
    /// assert!(matches!(cancelled, Err(RunError::Cancelled { .. })));
    /// # }
    /// ```
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

    /// Executes a run as [`run`](Self::run) does, and returns the journal beside the result. The state is empty if the store did
    /// not open the run.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # async fn reserve(_sku: &str) -> Result<u32, RunError> { Ok(7) }
    /// let checkout = Workflow::new("checkout");
    /// let (hold, state) = checkout.run_with_state("order-42", async |run| {
    ///     Ok::<_, RunError>(step!(run, reserve("tea")))
    /// }).await;
    /// assert_eq!(hold, Ok(7));
    /// assert_eq!(state.record("reserve").unwrap().outcome.payload().decode(), Ok(7));
    /// # }
    /// ```
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

    /// Prepares a run that starts from the recorded outcomes in `state` and does not use a store.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # async fn reserve() -> Result<u32, RunError> { Ok(7) }
    /// let orders = Workflow::new("order");
    /// let (first, state) = orders.run_with_state("order-42", async |run| Ok::<_, RunError>(step!(run, reserve()))).await;
    /// let again = orders.resume(state).run(async |run| {
    ///     Ok::<_, RunError>(step!(run, "reserve", async { Err::<u32, _>(RunError::Cancelled { step: None }) })) // not called
    /// });
    /// assert_eq!(again.await, first);
    /// # }
    /// ```
    pub const fn resume(&self, state: ResumeState) -> Resuming<'_, X> {
        Resuming { workflow: self, state }
    }

    /// Executes `body` with a handle that records no steps. The workflow does not use its store, but applies its observers,
    /// deadline, cancellation, clock and seed.
    ///
    /// # Errors
    /// Returns the error that the body returns.
    ///
    /// # Panics
    /// Panics if the body panics.
    ///
    /// # Cancel safety
    /// Dropping the future drops the step in flight; no further step starts.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::secs;
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # async fn look_up(_sku: &str) -> Result<u64, RunError> { Ok(4200) }
    /// let quote = Workflow::new("quote").deadline(secs(2));
    /// let price = quote.run_volatile(async |run| Ok::<_, RunError>(step!(run, look_up("tea"))));
    /// assert_eq!(price.await, Ok(4200));
    /// # }
    /// ```
    pub async fn run_volatile<T, E>(&self, body: impl AsyncFnOnce(&Run) -> Result<T, E>) -> Result<T, E>
    where
        E: fmt::Display,
    {
        self.execute_volatile(body).await
    }
}

/// A run that starts from a [`ResumeState`]. [`Workflow::resume`] creates it.
#[derive(Debug)]
#[must_use = "a prepared run has no effect: call `run` on it"]
pub struct Resuming<'w, X> {
    workflow: &'w Workflow<X>,
    state: ResumeState,
}

impl<X> Resuming<'_, X> {
    /// Executes `body`, and returns its result.
    ///
    /// # Errors
    /// Returns the body's own error, or a [`RunError`] in the body's error type. The workflow does not call the body if the state
    /// belongs to another workflow, has a newer version or cannot be migrated, or if the workflow has a different input. A
    /// recorded error of a step is an outcome like a value; [`ResumeState::forget`] lets the step run again. The workflow catches
    /// a panic of the body.
    ///
    /// # Cancel safety
    /// Dropping the future drops the step in flight, and loses the outcomes that this execution has recorded. Use a
    /// store to keep them.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{DurableRun, RunError, Workflow, step};
    ///
    /// # async fn quote(cents: u64) -> Result<u64, RunError> { Ok(cents) }
    /// async fn price(run: &DurableRun, cents: u64) -> Result<u64, RunError> {
    ///     Ok(step!(run, quote(cents)))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let order = Workflow::new("order");
    /// let (_, mut state) = order.run_with_state("order-42", async |run| price(run, 490).await).await;
    /// assert_eq!(order.resume(state.clone()).run(async |run| price(run, 420).await).await, Ok(490));
    /// state.forget("quote");
    /// assert_eq!(order.resume(state).run(async |run| price(run, 420).await).await, Ok(420));
    /// # }
    /// ```
    pub async fn run<T, E>(self, body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>) -> Result<T, E>
    where
        E: FromStep<RunError> + fmt::Display,
    {
        self.workflow.execute_state(self.state, body).await.0
    }

    /// Executes `body` as [`run`](Self::run) does, and returns the new state beside the result: the old records and the added
    /// ones. If the workflow did not call the body, the state is unchanged.
    ///
    /// ```
    /// use awaitly_core::journal::ResumeState;
    /// use awaitly_core::{RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # async fn reserve() -> Result<u32, RunError> { Ok(7) }
    /// # async fn ship(hold: u32) -> Result<u32, RunError> { Ok(hold) }
    /// // The state of an interrupted run, as a browser or a queue kept it.
    /// let kept = r#"{"format":1,"run":"order-42","workflow":"order","version":1,
    ///     "records":[{"key":"reserve","outcome":{"value":8}}]}"#;
    /// let state: ResumeState = serde_json::from_str(kept).unwrap();
    /// let orders = Workflow::new("order");
    /// let (shipped, state) = orders.resume(state).run_with_state(async |run| {
    ///     let hold = step!(run, reserve()); // 8: recorded, not called
    ///     Ok::<_, RunError>(step!(run, ship(hold)))
    /// }).await;
    /// assert_eq!((shipped, state.records.len()), (Ok(8), 2));
    /// # }
    /// ```
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

// Not derived, because `X` need not be `Clone`.
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

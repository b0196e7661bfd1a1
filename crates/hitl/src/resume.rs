use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::clock::{ms, secs};
use awaitly_core::journal::Timestamp;
use awaitly_core::store::{Due, DueQuery, Operate, RunId, StoreError};
use awaitly_core::{DurableRun, FromStep, KeepRun, RunError, Workflow};
use futures_util::{StreamExt, stream};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A worker that resumes due runs: their question was answered, their sleep ended, or their execution was interrupted.
///
/// It finds due runs in a store and executes those whose workflow is [registered](Self::workflow). It queries the store
/// when the store signals a change, and otherwise at an [interval](Self::every). Several instances, in one or several
/// processes, can share a store: the lease ensures that one of them at a time executes a run.
///
/// # Resume
/// An instance keeps no state across restarts, because the store knows which runs are due. The runs of a process that died
/// become due when their leases expire; the first instance to query the store resumes them.
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError, Workflow};
/// use awaitly_hitl::{Approvals, AutoResume, Inbox};
/// use awaitly_persistence::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// async fn expense(run: DurableRun) -> Result<bool, RunError> {
///     run.approval("manager").await
/// }
///
/// let store = MemoryStore::new();
/// let expenses = Workflow::new("expense").store(store.clone());
/// let resume = AutoResume::new(store.clone()).workflow(expenses.clone(), expense);
/// assert!(resume.run("trip-7").await.is_err(), "the run does not exist yet");
/// assert!(expenses.run("trip-7", async |run| expense(run.clone()).await).await.is_err(), "it waits");
///
/// Inbox::new(store).approve("trip-7", "manager", &true).await?;
/// assert_eq!(resume.once().await?.len(), 1);
/// assert_eq!(expenses.run("trip-7", async |run| expense(run.clone()).await).await, Ok(true));
/// # Ok(())
/// # }
/// ```
pub struct AutoResume<S> {
    store: S,
    workflows: HashMap<Arc<str>, Known>,
    concurrency: usize,
    every: Duration,
}

/// The operations on the runs of one workflow.
#[derive(Clone)]
struct Known {
    run: Body,
    cancel: Body,
}

type Body = Arc<dyn Fn(Arc<str>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A run that was resumed, with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// The run id.
    pub run: RunId,
    /// The result of the execution, with the error as text. A run that waits again counts as an error.
    pub ended: Result<(), String>,
}

/// The reasons for which a run could not be resumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// No run has this id.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// The run's workflow is not registered.
    #[error(
        "the workflow `{workflow}` is not registered here: call `AutoResume::workflow` for it, or resume the run in a process that has it"
    )]
    UnknownWorkflow {
        /// The name of the workflow.
        workflow: String,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl<S: Operate + Clone> AutoResume<S> {
    /// Creates a worker for the due runs in `store`. It resumes no runs until a workflow is [registered](Self::workflow).
    pub fn new(store: S) -> Self {
        Self { store, workflows: HashMap::new(), concurrency: 16, every: secs(10) }
    }

    /// Registers `workflow`: its due runs are executed with `body`. The body finds the input with which a run began in
    /// [`Run::input`](awaitly_core::Run::input).
    ///
    /// The workflow must use the store that was passed to [`new`](Self::new).
    ///
    /// # Panics
    /// Panics if the workflow has no store: the body would then start from the beginning each time, and the runs would stay
    /// due.
    #[must_use]
    pub fn workflow<X, F, Fut, T, E>(mut self, workflow: Workflow<X>, body: F) -> Self
    where
        X: KeepRun<T, E> + 'static,
        F: Fn(DurableRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: FromStep<RunError> + fmt::Display + Send + 'static,
    {
        assert!(
            workflow.has_store(),
            "the workflow `{}` has no store, so its runs cannot be resumed: give it the store of this `AutoResume`, with `Workflow::store`",
            workflow.name()
        );
        // A run that was deleted after the store listed it as due must not begin again.
        let workflow = workflow.only_existing();
        let (name, body) = (workflow.name(), Arc::new(body));
        let (cancelled, undone) = (workflow.clone(), Arc::clone(&body));
        let run: Body = Arc::new(move |run| {
            let (workflow, body) = (workflow.clone(), Arc::clone(&body));
            Box::pin(async move {
                told(workflow.run(run, async |run: &DurableRun| body(run.clone()).await).await)
            })
        });
        let cancel: Body = Arc::new(move |run| {
            let (workflow, body) = (cancelled.clone(), Arc::clone(&undone));
            Box::pin(async move {
                told(workflow.cancel(run, async |run: &DurableRun| body(run.clone()).await).await)
            })
        });
        self.workflows.insert(name, Known { run, cancel });
        self
    }

    /// Sets the number of runs that are executed at a time.
    ///
    /// # Default
    /// 16
    ///
    /// # Panics
    /// Panics if `concurrency` is 0.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        assert!(concurrency > 0, "`concurrency` must be at least 1");
        self.concurrency = concurrency;
        self
    }

    /// Sets the interval at which the worker queries the store while the store signals no change. The passing of time
    /// alone causes no signal, for example if a sleep ends, or if a lease expires because its process died.
    ///
    /// # Default
    /// 10 seconds
    ///
    /// # Panics
    /// Panics if `time` is zero.
    #[must_use]
    pub fn every(mut self, time: Duration) -> Self {
        assert!(
            !time.is_zero(),
            "`every` must be longer than zero: the store would be queried without a pause"
        );
        self.every = time;
        self
    }

    /// Resumes one run, even if it is not due. Equivalent to `Workflow::run` with the registered body.
    ///
    /// The error of the run itself is not an error of this method; [`Resumed::ended`] contains it.
    ///
    /// # Errors
    /// Returns [`ResumeError`] if the run does not exist, its workflow is not registered, or the store fails to load
    /// it.
    pub async fn run(&self, run: &str) -> Result<Resumed, ResumeError> {
        let (id, known) = self.known(run).await?;
        let ended = (known.run)(id.to_shared()).await;
        Ok(Resumed { run: id, ended })
    }

    /// Cancels one run and lets its body undo its work. Equivalent to [`Workflow::cancel`] with the registered body.
    ///
    /// The error of the run itself is not an error of this method; [`Resumed::ended`] contains it, usually
    /// [`RunError::Cancelled`].
    ///
    /// # Errors
    /// Returns [`ResumeError`] if the run does not exist, its workflow is not registered, or the store fails to load
    /// it.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, RunError, Workflow};
    /// # use awaitly_hitl::{Approvals, AutoResume};
    /// # use awaitly_persistence::MemoryStore;
    /// # async fn expense(run: DurableRun) -> Result<bool, RunError> {
    /// #     run.approval("manager").await
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let expenses = Workflow::new("expense").store(store.clone());
    /// assert!(expenses.run("trip-7", async |run| expense(run.clone()).await).await.is_err(), "the run waits");
    ///
    /// let resume = AutoResume::new(store).workflow(expenses, expense);
    /// let cancelled = resume.cancel("trip-7").await?;
    /// assert!(cancelled.ended.is_err());
    /// assert!(resume.once().await?.is_empty(), "no run is due");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel(&self, run: &str) -> Result<Resumed, ResumeError> {
        let (id, known) = self.known(run).await?;
        let ended = (known.cancel)(id.to_shared()).await;
        Ok(Resumed { run: id, ended })
    }

    async fn known(&self, run: &str) -> Result<(RunId, &Known), ResumeError> {
        let id = RunId::new(run).map_err(|_| ResumeError::NoSuchRun)?;
        let stored = self.store.load(&id).await?.ok_or(ResumeError::NoSuchRun)?;
        let workflow = &stored.header.workflow;
        let known = self.workflows.get(workflow);
        let known = known.ok_or_else(|| ResumeError::UnknownWorkflow { workflow: workflow.to_string() })?;
        Ok((id, known))
    }

    /// Executes the runs that are due now, and waits until all these executions have ended. One call executes at most
    /// 256 runs; if more are due, call it again.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails to list the due runs.
    ///
    /// # Cancel safety
    /// Dropping the future drops the runs in flight; they become due again.
    pub async fn once(&self) -> Result<Vec<Resumed>, StoreError> {
        let due = self.due(|_| true).await?;
        let runs = due.into_iter().map(|(run, _, known)| async move {
            let ended = (known.run)(run.to_shared()).await;
            Resumed { run, ended }
        });
        Ok(stream::iter(runs).buffer_unordered(self.concurrency).collect().await)
    }

    /// Executes runs as they become due, until `stop` is cancelled or the store is closed.
    ///
    /// The runs are spawned on the current tokio runtime. If the store fails to list the due runs, the failure is
    /// logged, and the store is asked again later.
    ///
    /// A run can be due again for an unchanged reason, for example because each of its executions is interrupted. Its
    /// first two repetitions begin immediately, and the third begins after 100 ms. Each further delay is twice as
    /// long as the one before, up to 30 seconds.
    ///
    /// # Panics
    /// Panics if it is polled outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future and cancelling `stop` both drop the runs in flight; they become due again.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, RunError, Workflow};
    /// # use awaitly_hitl::{Approvals, AutoResume};
    /// # async fn expense(run: DurableRun) -> Result<bool, RunError> {
    /// #     run.approval("manager").await
    /// # }
    /// # async fn demo(store: awaitly_persistence::MemoryStore, stop: tokio_util::sync::CancellationToken) {
    /// let expenses = Workflow::new("expense").store(store.clone());
    /// let resume = AutoResume::new(store).workflow(expenses, expense).concurrency(4);
    /// resume.serve(stop).await;
    /// # }
    /// ```
    pub async fn serve(&self, stop: CancellationToken) {
        let mut wakes = self.store.wakes();
        let mut crew = Crew::new();
        loop {
            if let Err(error) = self.fill(&mut crew).await {
                tracing::warn!(%error, "the store failed to list due runs: the query is tried again later");
            }
            let pause = crew.pause(self.every);
            tokio::select! {
                () = stop.cancelled() => return,
                there_are_more = wakes.changed() => if !there_are_more { return },
                Some(done) = crew.executed.join_next_with_id() => crew.done(done),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Starts due runs until `concurrency` of them are executed.
    async fn fill(&self, crew: &mut Crew) -> Result<(), StoreError> {
        if crew.executed.len() >= self.concurrency {
            return Ok(());
        }
        let now = Instant::now();
        crew.forget(now);
        let due = self.due(|due| crew.may_begin(due, now)).await?;
        for (run, since, known) in due {
            if crew.executed.len() >= self.concurrency {
                break;
            }
            crew.begin(run, since, &known);
        }
        Ok(())
    }

    /// Returns the due runs of registered workflows that `wants` accepts.
    ///
    /// The store lists due runs in pages of a growing size. Runs that rest (see [`Crew`]) are still due in the store, so a page
    /// may consist of resting runs alone; without a larger page they would hide the runs behind them.
    async fn due(&self, wants: impl Fn(&Due) -> bool) -> Result<Vec<(RunId, Timestamp, Known)>, StoreError> {
        if self.workflows.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = self.workflows.keys().cloned().fold(DueQuery::new(), DueQuery::workflow).limit(LEAST);
        loop {
            let due = self.store.due(query.clone()).await?;
            let there_are_more = due.len() >= query.page_limit();
            let wanted: Vec<_> = due
                .into_iter()
                .filter(|due| wants(due))
                .filter_map(|Due { run, workflow, since, .. }| {
                    Some((run, since, self.workflows.get(&workflow)?.clone()))
                })
                .collect();
            // Query a larger page only if this one is full and no run of it may begin.
            if !wanted.is_empty() || !there_are_more || query.page_limit() >= MOST {
                return Ok(wanted);
            }
            let more = query.page_limit() * 8;
            query = query.limit(more);
        }
    }
}

/// The sizes of the first and the largest page of due runs: see [`AutoResume::due`].
const LEAST: usize = 256;
const MOST: usize = LEAST * 8 * 8 * 8;

/// The runs in flight, and the runs that rest after an execution.
///
/// A run that is due again for an unchanged reason rests before its next execution, so that a run that never progresses
/// does not keep the worker busy. The reason is identified by the moment since which the run is due. A run is forgotten
/// after it has not been due for a while; it then starts without a rest.
struct Crew {
    executed: JoinSet<()>,
    /// The run that a task executes.
    tasks: HashMap<task::Id, RunId>,
    busy: HashMap<RunId, Turn>,
}

/// The executions of a run for one reason.
struct Turn {
    turns: u32,
    /// The moment since which the run is due. Another moment means another reason.
    since: Timestamp,
    /// The end of the rest; `None` while the run is executed.
    rests_until: Option<Instant>,
}

/// The longest rest between two executions.
const LONGEST_REST: Duration = secs(30);

impl Crew {
    fn new() -> Self {
        Self { executed: JoinSet::new(), tasks: HashMap::new(), busy: HashMap::new() }
    }

    fn may_begin(&self, due: &Due, now: Instant) -> bool {
        let Some(turn) = self.busy.get(&due.run) else { return true };
        match turn.rests_until {
            None => false,
            Some(until) => until <= now || turn.since != due.since,
        }
    }

    fn begin(&mut self, run: RunId, since: Timestamp, known: &Known) {
        let turn = self.busy.entry(run.clone()).or_insert(Turn { turns: 0, since, rests_until: None });
        turn.turns = if turn.since == since { turn.turns + 1 } else { 1 };
        (turn.since, turn.rests_until) = (since, None);
        let executed = (known.run)(run.to_shared());
        // The workflow's events report the result.
        let task = self.executed.spawn(async { drop(executed.await) });
        self.tasks.insert(task.id(), run);
    }

    fn done(&mut self, done: Result<(task::Id, ()), JoinError>) {
        let id = match done {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "the task of a run panicked outside of the run's body");
                error.id()
            }
        };
        if let Some(turn) = self.tasks.remove(&id).and_then(|run| self.busy.get_mut(&run)) {
            // Two executions without a rest, so that an answer that arrives during an execution is found at once.
            let rest = match turn.turns {
                0..=2 => Duration::ZERO,
                turns => ms(100).saturating_mul(1 << (turns - 3).min(16)).min(LONGEST_REST),
            };
            turn.rests_until = Some(Instant::now() + rest);
        }
    }

    /// Forgets runs whose rest ended more than `LONGEST_REST` ago; their next execution counts as the first.
    fn forget(&mut self, now: Instant) {
        self.busy.retain(|_, turn| turn.rests_until.is_none_or(|until| now < until + LONGEST_REST));
    }

    /// Returns the time until the next rest ends, or `every` if that is sooner.
    fn pause(&self, every: Duration) -> Duration {
        let now = Instant::now();
        let rests = self.busy.values().filter_map(|turn| turn.rests_until).filter(|until| *until > now);
        rests.map(|until| until - now).min().map_or(every, |rest| rest.min(every))
    }
}

fn told<T, E: fmt::Display>(ended: Result<T, E>) -> Result<(), String> {
    ended.map(drop).map_err(|error| error.to_string())
}

impl<S> fmt::Debug for AutoResume<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoResume")
            .field("workflows", &self.workflows.keys())
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

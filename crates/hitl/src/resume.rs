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

/// Runs again what has become due: what was answered, what slept long enough, what was interrupted.
///
/// It knows workflows by their name, and asks its store which runs to run, when the store says that something changed,
/// and now and then besides. Several of them, in several processes, share a store: a run is executed by one at a time.
///
/// # Restart
/// It keeps nothing: what is due is known by the store. Runs that were executed by a process that died become due
/// when their lease is over, and are resumed by whoever asks first.
///
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
/// assert!(resume.run("trip-7").await.is_err(), "no run of that id is there yet");
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

/// What can be done with the runs of one workflow.
#[derive(Clone)]
struct Known {
    run: Body,
    cancel: Body,
}

type Body = Arc<dyn Fn(Arc<str>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A run that was run again, and how that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// The run.
    pub run: RunId,
    /// Its error as text; that it waits again is one too.
    pub ended: Result<(), String>,
}

/// Why a run was not run again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// There is no such run.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// Its workflow was not given to this.
    #[error(
        "nobody here knows the workflow `{workflow}`: say `AutoResume::workflow` for it, or resume the run where it is known"
    )]
    UnknownWorkflow {
        /// Its name.
        workflow: String,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl<S: Operate + Clone> AutoResume<S> {
    /// Runs again what is due in `store`; nothing, until it knows workflows.
    pub fn new(store: S) -> Self {
        Self { store, workflows: HashMap::new(), concurrency: 16, every: secs(10) }
    }

    /// Knows how the runs of `workflow` are run: by `body`, with its [`input`](awaitly_core::Run::input) as it was given
    /// when they began. The workflow has to be on the same store.
    ///
    /// # Panics
    /// Panics if the workflow has no store: its runs would begin anew each time, and the store would not see them end.
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
            "the workflow `{}` has no store, so its runs cannot be resumed: give it the one that is asked, with `Workflow::store`",
            workflow.name()
        );
        // A run that is deleted between being due and being opened must not begin anew.
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

    /// How many runs are executed at the same time at most.
    ///
    /// # Default
    /// 16
    ///
    /// # Panics
    /// Where it is 0.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        assert!(concurrency > 0, "at least one run is executed at a time: `concurrency(0)` is refused");
        self.concurrency = concurrency;
        self
    }

    /// How often the store is asked though it did not say that anything changed: what it cannot know of is found so,
    /// such as the lease of a process that died, or a sleep that is over.
    ///
    /// # Default
    /// 10 seconds
    ///
    /// # Panics
    /// Where it is no time at all.
    #[must_use]
    pub fn every(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "the store is not asked all the time: `every` of nothing is refused");
        self.every = time;
        self
    }

    /// Resumes one run, whether it is due or not: the same as `Workflow::run` with its body.
    ///
    /// # Errors
    /// [`ResumeError`]; what the run itself ended in is in what comes back.
    pub async fn run(&self, run: &str) -> Result<Resumed, ResumeError> {
        let (id, known) = self.known(run).await?;
        let ended = (known.run)(id.to_shared()).await;
        Ok(Resumed { run: id, ended })
    }

    /// Cancels one run that nobody executes, and lets its body undo what it did: the same as
    /// [`Workflow::cancel`] with its body.
    ///
    /// # Errors
    /// [`ResumeError`]; what the run itself ended in is in what comes back, as a rule that it was cancelled.
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

    /// Runs what is due now, once, and waits for it.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot say what is due.
    ///
    /// # Cancel safety
    /// Dropping the future drops the runs that are executed; they are due again.
    pub async fn once(&self) -> Result<Vec<Resumed>, StoreError> {
        let due = self.due(|_| true).await?;
        let runs = due.into_iter().map(|(run, _, known)| async move {
            let ended = (known.run)(run.to_shared()).await;
            Resumed { run, ended }
        });
        Ok(stream::iter(runs).buffer_unordered(self.concurrency).collect().await)
    }

    /// Runs what becomes due, until `stop` is cancelled or the store is closed. It needs a tokio runtime, on whose
    /// threads the runs are executed.
    ///
    /// A run that becomes due again and again, because it is interrupted each time, is left for a while in between: at
    /// first not at all, then for twice as long each time, at most for half a minute.
    ///
    /// # Errors
    /// None: a store that fails is asked again later, and that it did is logged.
    ///
    /// # Cancel safety
    /// Dropping the future, as well as cancelling `stop`, drops the runs that are executed. They are due again.
    pub async fn serve(&self, stop: CancellationToken) {
        let mut wakes = self.store.wakes();
        let mut crew = Crew::new();
        loop {
            if let Err(error) = self.fill(&mut crew).await {
                tracing::warn!(%error, "the store cannot say what is due");
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

    /// Executes what is due, as far as there is room.
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

    /// The runs that are due, that this knows and for which `wants` holds.
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
            // Those that are left alone for a while do not hide the others.
            if !wanted.is_empty() || !there_are_more || query.page_limit() >= MOST {
                return Ok(wanted);
            }
            let more = query.page_limit() * 8;
            query = query.limit(more);
        }
    }
}

/// How many runs the store is asked for at first, and at most where none of them may begin now.
const LEAST: usize = 256;
const MOST: usize = LEAST * 8 * 8 * 8;

/// The runs that are executed, and those that were a while ago.
struct Crew {
    executed: JoinSet<()>,
    /// Which run a task executes.
    tasks: HashMap<task::Id, RunId>,
    busy: HashMap<RunId, Turn>,
}

/// The turns that a run had for the same reason.
struct Turn {
    turns: u32,
    /// Since when it was due: another moment is another reason.
    since: Timestamp,
    /// `None`: it is executed.
    rests_until: Option<Instant>,
}

/// The longest that a run is left for.
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
        // Its workflow tells what it ended in.
        let task = self.executed.spawn(async { drop(executed.await) });
        self.tasks.insert(task.id(), run);
    }

    fn done(&mut self, done: Result<(task::Id, ()), JoinError>) {
        let id = match done {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "what executes a run panicked, outside of its body");
                error.id()
            }
        };
        if let Some(turn) = self.tasks.remove(&id).and_then(|run| self.busy.get_mut(&run)) {
            // The first answer to a question finds the run at once.
            let rest = match turn.turns {
                0..=2 => Duration::ZERO,
                turns => ms(100).saturating_mul(1 << (turns - 3).min(16)).min(LONGEST_REST),
            };
            turn.rests_until = Some(Instant::now() + rest);
        }
    }

    /// Runs that have rested long since begin anew.
    fn forget(&mut self, now: Instant) {
        self.busy.retain(|_, turn| turn.rests_until.is_none_or(|until| now < until + LONGEST_REST));
    }

    /// How long there is nothing to do, unless something happens.
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

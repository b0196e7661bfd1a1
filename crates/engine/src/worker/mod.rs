//! Workers, which execute the due runs of a store.

mod crew;
mod drain;
mod name;
mod served;
mod suspects;
mod taken;
mod work;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::clock::{days, secs};
use awaitly_core::dispatch::Queue;
use awaitly_core::extend::claimed;
use awaitly_core::store::Dispatch;
use awaitly_core::{DurableRun, FromStep, KeepRun, RunError, Workflow};
use serde::de::DeserializeOwned;

use crate::Contract;
use served::Served;
pub use work::Ticked;

/// Executes the due runs of a store: queued runs, runs whose question was answered or whose sleep is over, and runs
/// whose process died.
///
/// Any number of workers, in any number of processes, share a store. Each claims at most as many runs as it has room
/// for. All state is in the store, so a worker can stop at any time.
///
/// # Default
///
/// | option | default |
/// | --- | --- |
/// | [`concurrency`](Self::concurrency) | 256 runs at a time |
/// | [`grace`](Self::grace) | 30 seconds |
/// | [`max_crashes`](Self::max_crashes) | 5 |
/// | [`named`](Self::named) | the name of the host and the process id |
/// | [`poll_every`](Self::poll_every) | 10 seconds |
///
/// # Examples
/// ```
/// use awaitly_core::clock::secs;
/// use awaitly_core::{DurableRun, RunError};
/// use awaitly_engine::{Contract, Queue, Rate, Worker};
/// use awaitly_persistence::MemoryStore;
///
/// const MAIL: Contract<String, (), RunError> = Contract::new("mail");
///
/// # async fn send(_: DurableRun, _: String) -> Result<(), RunError> { Ok(()) }
/// let worker = Worker::new(MemoryStore::new())
///     .serve(MAIL, send)
///     .queue(Queue::new("mails").rate(Rate::per_second(20)))
///     .concurrency(64)
///     .grace(secs(10));
/// ```
#[must_use = "a worker does nothing until `run_until` or `tick` is awaited"]
pub struct Worker<S> {
    store: S,
    name: Arc<str>,
    served: HashMap<Arc<str>, Arc<Served>>,
    queues: Vec<Queue>,
    settings: Option<Settings>,
    concurrency: usize,
    grace: Duration,
    max_crashes: u32,
    poll_every: Duration,
}

/// Settings of all workflows of a worker.
type Settings = Arc<dyn Fn(Workflow) -> Workflow + Send + Sync>;

/// A run that has to wait for longer than this time leaves its task and waits in the store.
const PARK_AFTER: Duration = secs(1);

impl<S: Dispatch + Clone> Worker<S> {
    /// Creates a worker for `store`. It executes no run until it [serves](Self::serve) a workflow.
    pub fn new(store: S) -> Self {
        Self {
            store,
            name: name::of_process(),
            served: HashMap::new(),
            queues: Vec::new(),
            settings: None,
            concurrency: 256,
            grace: secs(30),
            max_crashes: 5,
            poll_every: secs(10),
        }
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Sets the name under which people see the worker, for example in [`Phase::Running`](crate::Phase::Running). Several
    /// workers may share a name.
    ///
    /// # Default
    /// The end of the host's name and the process id, for example `web-1:4711`.
    ///
    /// # Panics
    /// Panics if the name is empty or longer than 100 bytes.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        let length = 1..=name::MAX_BYTES;
        assert!(length.contains(&name.len()), "`named` takes a name of 1 to 100 bytes, not {}", name.len());
        self.name = name;
        self
    }

    /// Serves the workflow of `contract`: due runs are executed with `body`, which gets a handle and the input of the
    /// run.
    ///
    /// A run that sleeps or waits for the next attempt of a step for longer than a second leaves its task, and waits in
    /// the store. So does a run that waits for an answer.
    ///
    /// If the input of a run is not an `I` any more, the run fails with [`RunError::Undecodable`]. Correct the code,
    /// and then retry the run.
    ///
    /// # Panics
    /// Panics if the worker already serves a workflow with this name.
    pub fn serve<I, T, E, X, F, Fut>(self, contract: Contract<I, T, E, X>, body: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        T: Send + 'static,
        E: FromStep<RunError> + fmt::Display + Send + 'static,
        X: KeepRun<T, E> + 'static,
        F: Fn(DurableRun, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.serve_with(contract, |workflow| workflow, body)
    }

    /// Serves the workflow of `contract` like [`serve`](Self::serve), with more settings: `configure` gets the
    /// [`Workflow`], and sets its version, migrations, observers or deadline, for example.
    ///
    /// # Panics
    /// Panics if the worker already serves a workflow with this name, or if `configure` returns a workflow with another
    /// name.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::{days, mins};
    /// use awaitly_core::{DurableRun, RunError};
    /// use awaitly_engine::{Contract, Worker};
    /// use awaitly_persistence::MemoryStore;
    ///
    /// const REFUND: Contract<u64, u64, RunError> = Contract::new("refund");
    ///
    /// # async fn refund(_: DurableRun, cents: u64) -> Result<u64, RunError> { Ok(cents) }
    /// let worker = Worker::new(MemoryStore::new())
    ///     .serve_with(REFUND, |workflow| workflow.version(2).deadline(days(1)).park_after(mins(1)), refund);
    /// ```
    pub fn serve_with<I, T, E, X, F, Fut>(
        mut self,
        contract: Contract<I, T, E, X>,
        configure: impl FnOnce(Workflow<X>) -> Workflow<X>,
        body: F,
    ) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        T: Send + 'static,
        E: FromStep<RunError> + fmt::Display + Send + 'static,
        X: KeepRun<T, E> + 'static,
        F: Fn(DurableRun, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (name, settings) = (contract.name(), self.settings.clone());
        let configure = |workflow: Workflow<X>| {
            configure(match settings {
                Some(settings) => claimed::keeping(settings(claimed::keeping(workflow))),
                None => workflow,
            })
        };
        let served = Served::new(contract, self.store.clone(), configure, body);
        let earlier = self.served.insert(name.into(), Arc::new(served));
        assert!(earlier.is_none(), "the worker serves the workflow `{name}` already: serve it once");
        self
    }

    /// Sets the settings of all workflows that later calls of [`serve`](Self::serve) add, for example their observers.
    /// [`serve_with`](Self::serve_with) can change them for one workflow. A second call replaces the settings.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::{hours, mins};
    /// use awaitly_core::{DurableRun, RunError};
    /// use awaitly_engine::{Contract, Worker};
    /// use awaitly_persistence::MemoryStore;
    ///
    /// const MAIL: Contract<String, (), RunError> = Contract::new("mail");
    /// const REPORT: Contract<u32, (), RunError> = Contract::new("report");
    ///
    /// # async fn send(_: DurableRun, _: String) -> Result<(), RunError> { Ok(()) }
    /// # async fn report(_: DurableRun, _: u32) -> Result<(), RunError> { Ok(()) }
    /// let worker = Worker::new(MemoryStore::new())
    ///     .settings(|workflow| workflow.deadline(hours(1)).lease(mins(1)))
    ///     .serve(MAIL, send)
    ///     .serve_with(REPORT, |workflow| workflow.deadline(hours(8)), report);
    /// ```
    pub fn settings(mut self, settings: impl Fn(Workflow) -> Workflow + Send + Sync + 'static) -> Self {
        self.settings = Some(Arc::new(settings));
        self
    }

    /// Declares the settings of a queue. The worker stores them when it starts. They apply to all workers of the store.
    ///
    /// If an operator has [set](crate::Client::set_queue) other settings since the last declaration, those settings
    /// stay until the declaration changes.
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.retain(|declared| declared.name != queue.name);
        self.queues.push(queue);
        self
    }

    /// Sets the number of runs that this worker executes at a time. A run that waits in the store does not count.
    ///
    /// # Default
    /// 256.
    ///
    /// # Panics
    /// Panics if `runs` is 0.
    pub fn concurrency(mut self, runs: usize) -> Self {
        assert!(runs > 0, "`concurrency` must be at least 1: a worker that executes no run is not needed");
        self.concurrency = runs;
        self
    }

    /// Sets the time that a stopping worker waits for its running executions. After that, it interrupts them, and
    /// another worker resumes their runs.
    ///
    /// # Default
    /// 30 seconds.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the number of crashes after which a run fails with [`RunError::CrashedRepeatedly`]. A new record of the run
    /// resets the number. An orderly stop of a worker does not change it.
    ///
    /// A crash counts for each run that the process held. So a run whose processes died twice in a row is a suspect, and a
    /// worker begins suspects one after the other: the next one begins when the last one has ended, or has been executed for
    /// ten seconds.
    ///
    /// # Default
    /// 5.
    ///
    /// # Panics
    /// Panics if `crashes` is 0, because a process may die for a reason that has nothing to do with its runs.
    pub fn max_crashes(mut self, crashes: u32) -> Self {
        assert!(crashes > 0, "`max_crashes` must be at least 1");
        self.max_crashes = crashes;
        self
    }

    /// Sets the longest time between two queries of a quiet store, at most a day. The store reports changes, and each query
    /// returns the time of the next due run, so this only matters for changes that the store cannot report.
    ///
    /// # Default
    /// 10 seconds.
    ///
    /// # Panics
    /// Panics if `pause` is shorter than a second.
    pub fn poll_every(mut self, pause: Duration) -> Self {
        assert!(pause >= secs(1), "`poll_every` must be at least a second: the store reports changes itself");
        self.poll_every = pause.min(days(1));
        self
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.name)
            .field("workflows", &self.served.keys())
            .field("queues", &self.queues)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

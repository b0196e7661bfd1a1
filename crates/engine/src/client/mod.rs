//! Clients, which start runs and operate existing ones.

mod bulk;
mod doctor;
mod handle;
mod send;
mod start;
mod state;
mod watch;

use std::fmt;
use std::sync::Arc;

use awaitly_core::dispatch::Queue;
use awaitly_core::store::{
    Configure, Dispatch, InvalidRunId, Pausing, QueueState, RunId, RunQuery, StoreError,
};
use serde::Serialize;

pub use bulk::{Bulk, Progress};
pub use doctor::{Ailment, Diagnosis, Finding};
pub use handle::{Follow, RunHandle};
pub use send::{SendError, Sending};
pub use start::{StartError, StartMany, Starting};
pub use state::{Phase, RunState};
use watch::Watch;

use crate::Contract;
use crate::schedule::{self, Schedule, ScheduleHandle, ScheduleInfo, Scheduling};

/// Starts runs, and operates existing ones. A client executes no run: a [`Worker`](crate::Worker) does, in this process
/// or in another one.
///
/// A clone is cheap. The handles of all clones wait for their runs with shared queries.
///
/// # Examples
/// ```
/// use awaitly_core::RunError;
/// use awaitly_core::clock::mins;
/// use awaitly_engine::{Client, Contract};
/// use awaitly_persistence::MemoryStore;
///
/// const CHECKOUT: Contract<u64, u64, RunError> = Contract::new("checkout");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(MemoryStore::new());
/// let order = client.start(CHECKOUT, "order-42", &4200).queue("orders").key("customer-7").after(mins(5)).await?;
/// assert_eq!(order.state().await?.to_string(), "queued in `orders`");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client<S> {
    store: S,
    watch: Arc<Watch>,
}

impl<S: Dispatch + Clone> Client<S> {
    /// Creates a client of `store`.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self { store, watch: Arc::default() }
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Prepares the start of a run of `contract` with the id `run` and this input. Set options on the returned value,
    /// and `.await` it. When it returns, the run is durable.
    ///
    /// The run id is the idempotency key. If a run with this id, workflow and input exists already, the call returns
    /// its handle and starts no run. In this case, the options of the call have no effect, for example another queue.
    ///
    /// # Errors
    /// The returned future fails with [`StartError`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the run may or may not have started. Repeat the call: it returns the existing run or
    /// starts it.
    pub fn start<I: Serialize, T, E, X>(
        &self,
        contract: Contract<I, T, E, X>,
        run: impl Into<Arc<str>>,
        input: &I,
    ) -> Starting<S, T, E, X> {
        Starting::new(self.clone(), contract.name(), run.into(), input)
    }

    /// Prepares the start of many runs of `contract`, each with its id and its input. Set options on the returned
    /// value, and `.await` it. A store that can do so adds all runs in one commit.
    ///
    /// The future returns a result for each run, in the order of `runs`.
    ///
    /// # Errors
    /// The returned future fails with [`StoreError`] if the store fails. In this case, some of the runs may have
    /// started. It is safe to repeat the call.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::RunError;
    /// use awaitly_engine::{Client, Contract};
    /// use awaitly_persistence::MemoryStore;
    ///
    /// const MAIL: Contract<String, (), RunError> = Contract::new("mail");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::new(MemoryStore::new());
    /// let mails = (0..1000).map(|number| (format!("mail-{number}"), format!("Dear customer {number}")));
    /// let started = client.start_many(MAIL, mails).queue("mails").await?;
    /// assert!(started.iter().all(Result::is_ok));
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_many<I: Serialize, T, E, X, R: Into<Arc<str>>>(
        &self,
        contract: Contract<I, T, E, X>,
        runs: impl IntoIterator<Item = (R, I)>,
    ) -> StartMany<S, T, E, X> {
        let runs = runs.into_iter().map(|(run, input)| (run.into(), input));
        StartMany::new(self.clone(), contract.name(), runs)
    }

    /// Returns a handle of an existing run of `contract`. The method does not ask the store whether the run exists.
    ///
    /// # Errors
    /// Returns [`InvalidRunId`] if the id is empty or too long.
    pub fn find<I, T, E, X>(
        &self,
        _contract: Contract<I, T, E, X>,
        run: impl Into<Arc<str>>,
    ) -> Result<RunHandle<S, T, E, X>, InvalidRunId> {
        Ok(RunHandle::new(self.clone(), RunId::new(run)?))
    }

    /// Prepares a schedule, which starts a run of `contract` with this input at each time of its rule. Set options on
    /// the returned value, and `.await` it. The id of each run is the name of the schedule, `@`, and the time in UTC.
    ///
    /// If a schedule with this name exists, the call replaces its definition. An equal definition changes nothing, and
    /// a paused schedule stays paused. So a program can make this call each time it starts.
    ///
    /// # Errors
    /// The returned future fails with [`ScheduleError`](crate::ScheduleError) if the name, the rule, the time zone or
    /// the input is not valid, if no time matches the rule, or if the store fails.
    pub fn schedule<I: Serialize, T, E, X>(
        &self,
        name: impl Into<Arc<str>>,
        schedule: Schedule,
        contract: Contract<I, T, E, X>,
        input: &I,
    ) -> Scheduling<S> {
        Scheduling::new(self.store.clone(), name.into(), schedule, contract.name(), input)
    }

    /// Returns a handle of an existing schedule. The method does not ask the store whether the schedule exists.
    pub fn find_schedule(&self, name: impl Into<Arc<str>>) -> ScheduleHandle<S> {
        ScheduleHandle::new(self.store.clone(), name.into())
    }

    /// Returns the schedules in the order of their names, at most 1000, beginning after the schedule `after`, if it is
    /// given. Leaves out a schedule that this version of the library cannot read.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn schedules(&self, after: Option<&str>) -> Result<Vec<ScheduleInfo>, StoreError> {
        schedule::list(&self.store, after.map(Arc::from)).await
    }

    /// Prepares an operation on all runs that match `query`: retries, cancellations, deletions and more.
    pub fn bulk(&self, query: RunQuery) -> Bulk<S> {
        Bulk::new(self.store.clone(), query)
    }

    /// Examines all runs that have not ended, page by page. Names each run that no worker will continue, and each run
    /// that has been due for more than a minute. The call changes nothing.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    ///
    /// # Examples
    /// ```
    /// use awaitly_engine::Client;
    /// use awaitly_persistence::MemoryStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let diagnosis = Client::new(MemoryStore::new()).doctor().await?;
    /// for finding in &diagnosis.findings {
    ///     println!("{finding}");
    /// }
    /// assert_eq!(diagnosis.stuck().count(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn doctor(&self) -> Result<Diagnosis, StoreError> {
        doctor::examine(&self.store).await
    }

    /// Sets the settings of a queue for all workers. They apply from the next claim on, until an operator sets others
    /// or the code of a worker declares others than before.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn set_queue(&self, queue: Queue) -> Result<(), StoreError> {
        self.store.configure(vec![queue], Configure::Set).await
    }

    /// Pauses a queue: clients can still add runs, but no worker claims them. Running runs continue.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn pause_queue(&self, queue: impl Into<Arc<str>>) -> Result<(), StoreError> {
        self.store.pause_queues(vec![queue.into()], Pausing::Pause).await
    }

    /// Resumes a paused queue.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn resume_queue(&self, queue: impl Into<Arc<str>>) -> Result<(), StoreError> {
        self.store.pause_queues(vec![queue.into()], Pausing::Resume).await
    }

    /// Returns the queues that have settings or are paused, at most 1000.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn queues(&self) -> Result<Vec<QueueState>, StoreError> {
        self.store.queues().await
    }
}

impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

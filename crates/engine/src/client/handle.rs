use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::clock::{ms, secs};
use awaitly_core::extend::claimed;
use awaitly_core::journal::{Header, Payload, Status};
use awaitly_core::store::{Cancelled, Dispatch, Pausing, RunId, StoreError};
use awaitly_core::{Durable, FromStep, KeepRun, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, RunState, Sending};
use crate::contract::Output;
use crate::run::retry;

/// A handle of one run. A clone is cheap.
///
/// Dropping a handle does not affect the run.
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError};
/// use awaitly_engine::{Client, Contract, Phase, Worker};
/// use awaitly_persistence::MemoryStore;
///
/// const SUM: Contract<Vec<u64>, u64, RunError> = Contract::new("sum");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let sum = Client::new(store.clone()).start(SUM, "sum-7", &vec![3, 4]).await?;
/// let worker = Worker::new(store).serve(SUM, async |_: DurableRun, numbers: Vec<u64>| Ok(numbers.iter().sum()));
/// worker.run_until(async { assert_eq!(sum.result().await, Ok(7)) }).await?;
/// assert!(matches!(sum.state().await?.phase, Phase::Ended { .. }));
/// # Ok(())
/// # }
/// ```
pub struct RunHandle<S, T, E, X = Durable> {
    client: Client<S>,
    run: RunId,
    output: Output<T, E, X>,
}

impl<S: Dispatch + Clone, T, E, X> RunHandle<S, T, E, X> {
    pub(super) const fn new(client: Client<S>, run: RunId) -> Self {
        Self { client, run, output: PhantomData }
    }

    /// Returns the run id.
    #[must_use]
    pub const fn id(&self) -> &RunId {
        &self.run
    }

    /// Waits until the run has ended, and returns the value or the error of its body, with the types of the contract.
    ///
    /// A run that sleeps or waits for an answer has not ended, so this may take days. Use a timeout if you cannot wait.
    ///
    /// If the run ends in another process, and the store does not report it to this one, the result comes up to a second
    /// later. All handles of a client share one query.
    ///
    /// # Errors
    /// Returns the error of the body if the run failed, [`RunError::Cancelled`] if it was cancelled,
    /// [`RunError::NoSuchRun`] if it does not exist, [`RunError::Undecodable`] if its recorded result does not have
    /// these types, and [`RunError::Store`] if the store fails.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait and does not affect the run.
    pub async fn result(&self) -> Result<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError>,
    {
        let Client { store, watch } = &self.client;
        match watch.ended(store, &self.run).await {
            Ok(header) => self.decoded(&header),
            Err(error) => Err(E::from_step(error)),
        }
    }

    fn decoded(&self, header: &Header) -> Result<T, E>
    where
        X: KeepRun<T, E>,
        E: FromStep<RunError>,
    {
        let Some(outcome) = &header.outcome else {
            return Err(E::from_step(RunError::Cancelled { step: None }));
        };
        claimed::result::<X, T, E>(outcome).unwrap_or_else(|error| {
            Err(E::from_step(RunError::Undecodable {
                what: format!("the result of run `{}`", self.run).into(),
                type_name: error.type_name,
                reason: error.reason,
            }))
        })
    }

    /// Returns the state of the run, which explains why it has not ended. The call reads the whole journal; for a queued
    /// run, it also counts the runs ahead.
    ///
    /// # Errors
    /// Returns [`RunError::NoSuchRun`] if there is no such run, and [`RunError::Store`] if the store fails.
    pub async fn state(&self) -> Result<RunState, RunError> {
        RunState::read(&self.client.store, &self.run).await
    }

    /// Requests the cancellation of the run. A queued run is cancelled at once. If the run has begun, its body undoes
    /// its work first: see [`Operate::cancel`](awaitly_core::store::Operate::cancel).
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn cancel(&self) -> Result<Cancelled, StoreError> {
        self.client.store.cancel(&self.run).await
    }

    /// Pauses the run: no worker claims it until it is [resumed](Self::resume). An execution in progress continues
    /// until the run waits or ends. Returns `false` if the run has ended, is paused already, or does not exist.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn pause(&self) -> Result<bool, StoreError> {
        self.pausing(Pausing::Pause).await
    }

    /// Resumes a paused run. Returns `false` if the run has ended, is not paused, or does not exist.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn resume(&self) -> Result<bool, StoreError> {
        self.pausing(Pausing::Resume).await
    }

    async fn pausing(&self, pausing: Pausing) -> Result<bool, StoreError> {
        Ok(!self.client.store.pause(vec![self.run.clone()], pausing).await?.is_empty())
    }

    /// Retries a failed or cancelled run: a worker resumes it from the step that it failed on. A waiting run is executed
    /// once more, and waits again if it still has to. Returns `false` if the run is queued, is being executed, has
    /// completed, or does not exist.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn retry(&self) -> Result<bool, StoreError> {
        retry(&self.client.store, self.run.clone()).await
    }

    /// Prepares a message to a mailbox of the run, and `.await` sends it. The message is then durable, and the run
    /// [receives](crate::RunExt::receive) it.
    ///
    /// # Errors
    /// The returned future fails with [`SendError`](crate::SendError).
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::RunError;
    /// use awaitly_engine::{Client, Contract, SendError};
    /// use awaitly_persistence::MemoryStore;
    ///
    /// const ORDER: Contract<u64, u64, RunError> = Contract::new("order");
    ///
    /// # async fn demo(client: Client<MemoryStore>) -> Result<(), Box<dyn std::error::Error>> {
    /// let order = client.find(ORDER, "order-42")?;
    /// // A webhook that is delivered twice sends one message.
    /// order.send("payment", &"paid").id("webhook-7").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send<M: Serialize + ?Sized>(&self, mailbox: impl Into<Arc<str>>, message: &M) -> Sending<S> {
        Sending::new(self.client.store.clone(), self.run.clone(), mailbox.into(), message)
    }

    /// Returns the value that the run published under `name`, or `None` if there is none or the run does not exist.
    ///
    /// # Errors
    /// Returns [`RunError::Undecodable`] if the value is not a `V`, and [`RunError::Store`] if the store fails.
    pub async fn published<V: DeserializeOwned>(&self, name: &str) -> Result<Option<V>, RunError> {
        let found = self.client.store.published(&self.run, name.into()).await.map_err(RunError::Store)?;
        found.map(|value| self.decode(name, &value)).transpose()
    }

    /// Returns the items of a stream of the run from the index `from` on, at most 1000. If there are none and `follow`
    /// is [`Follow::Wait`], waits until the run appends an item or ends. An empty list then means that the stream is
    /// complete.
    ///
    /// # Errors
    /// Returns [`RunError::NoSuchRun`] if there is no such run, [`RunError::Undecodable`] if an item is not a `V`, and
    /// [`RunError::Store`] if the store fails.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::RunError;
    /// use awaitly_engine::{Contract, Follow, RunHandle};
    /// use awaitly_persistence::MemoryStore;
    ///
    /// /// Prints the log of an import while it grows.
    /// async fn print_log(import: &RunHandle<MemoryStore, u64, RunError>) -> Result<(), RunError> {
    ///     let mut read = 0;
    ///     loop {
    ///         let lines: Vec<String> = import.stream("log", read, Follow::Wait).await?;
    ///         if lines.is_empty() {
    ///             return Ok(());
    ///         }
    ///         lines.iter().for_each(|line| println!("{line}"));
    ///         read += lines.len() as u64;
    ///     }
    /// }
    /// ```
    pub async fn stream<V: DeserializeOwned>(
        &self,
        name: &str,
        from: u64,
        follow: Follow,
    ) -> Result<Vec<V>, RunError> {
        let store = &self.client.store;
        let (name, mut wakes, mut pause) = (Arc::<str>::from(name), store.wakes(), SHORTEST_PAUSE);
        loop {
            let part =
                store.stream(&self.run, Arc::clone(&name), from, 1000).await.map_err(RunError::Store)?;
            let part = part.ok_or_else(|| RunError::NoSuchRun { run: (*self.run).into() })?;
            if !part.items.is_empty() || part.ended || follow == Follow::Never {
                return part.items.iter().map(|item| self.decode(&name, item)).collect();
            }
            if let Ok(false) = tokio::time::timeout(pause, wakes.changed()).await {
                return Err(RunError::Store(StoreError::Closed));
            }
            // A busy store reports many changes. They must not cause one query each.
            tokio::time::sleep(SHORTEST_PAUSE).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn decode<V: DeserializeOwned>(&self, name: &str, value: &Payload) -> Result<V, RunError> {
        value.decode().map_err(|error| RunError::Undecodable {
            what: format!("`{name}` of run `{}`", self.run).into(),
            type_name: error.type_name,
            reason: error.reason,
        })
    }

    /// Returns whether the run has ended, without waiting.
    ///
    /// # Errors
    /// Returns [`RunError::NoSuchRun`] if there is no such run, and [`RunError::Store`] if the store fails.
    pub async fn has_ended(&self) -> Result<bool, RunError> {
        let headers = self.client.store.headers(vec![self.run.clone()]).await.map_err(RunError::Store)?;
        let status = headers.into_iter().next().flatten().map(|header| header.status);
        status.map(Status::has_ended).ok_or_else(|| RunError::NoSuchRun { run: (*self.run).into() })
    }
}

/// Whether a call waits for the next items of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Returns the items that exist now.
    Never,
    /// Waits until there are items, or until the run has ended.
    Wait,
}

/// The shortest and the longest time between two queries for new items.
const SHORTEST_PAUSE: Duration = ms(5);
const LONGEST_PAUSE: Duration = secs(1);

impl<S: Clone, T, E, X> Clone for RunHandle<S, T, E, X> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), run: self.run.clone(), output: PhantomData }
    }
}

impl<S, T, E, X> fmt::Debug for RunHandle<S, T, E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunHandle").field(&self.run).finish()
    }
}

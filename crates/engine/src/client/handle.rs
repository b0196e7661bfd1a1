use std::fmt;
use std::marker::PhantomData;

use awaitly_core::extend::claimed;
use awaitly_core::journal::{Header, Status};
use awaitly_core::store::{Cancelled, Dispatch, Pausing, RunId, StoreError};
use awaitly_core::{FromStep, KeepRun, RunError};

use super::{Client, RunState};
use crate::contract::Output;

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
pub struct RunHandle<S, T, E, X> {
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

    /// Waits until the run has ended, and returns its result, typed as the body returned it.
    ///
    /// A run that waits for an answer or sleeps has not ended, so this may take days. Use a timeout if you cannot wait.
    ///
    /// # Errors
    /// Returns the error of the body if the run failed, [`RunError::Cancelled`] if it was cancelled,
    /// [`RunError::NoSuchRun`] if it does not exist, [`RunError::Undecodable`] if its recorded result does not have these
    /// types, and [`RunError::Store`] if the store fails.
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

    /// Returns the state of the run, which explains why it has not ended.
    ///
    /// # Errors
    /// Returns [`RunError::NoSuchRun`] if there is no such run, and [`RunError::Store`] if the store fails.
    pub async fn state(&self) -> Result<RunState, RunError> {
        let stored = self.client.store.load(&self.run).await.map_err(RunError::Store)?;
        let stored = stored.ok_or_else(|| RunError::NoSuchRun { run: (*self.run).into() })?;
        Ok(RunState::of(&stored))
    }

    /// Requests the cancellation of the run. A queued run is cancelled at once. The body of another run undoes its work
    /// first: see [`Operate::cancel`](awaitly_core::store::Operate::cancel).
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn cancel(&self) -> Result<Cancelled, StoreError> {
        self.client.store.cancel(&self.run).await
    }

    /// Pauses the run: no worker executes it until it is [resumed](Self::resume). An execution that is in progress
    /// continues until the run waits or ends. Returns `false` if the run has ended, is paused already, or does not
    /// exist.
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

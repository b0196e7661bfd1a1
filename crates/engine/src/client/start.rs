use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::journal::{EncodeError, Refused, Timestamp};
use awaitly_core::store::{
    Dispatch, Input, InvalidRunId, RunId, Start, StoreError, Submit, SubmitWithin, Submitted,
};
use serde::Serialize;

use super::{Client, RunHandle};
use crate::contract::Output;

/// The start of a run: [`Client::start`] returns it. Nothing happens until it is awaited.
#[must_use = "nothing happens until it is awaited"]
pub struct Starting<S, T, E, X> {
    client: Client<S>,
    submit: Result<Submit, StartError>,
    output: Output<T, E, X>,
}

/// The start of many runs: [`Client::start_many`] returns it. Nothing happens until it is awaited.
#[must_use = "nothing happens until it is awaited"]
pub struct StartMany<S, T, E, X> {
    client: Client<S>,
    submits: Vec<Result<Submit, StartError>>,
    output: Output<T, E, X>,
}

/// The reason why a run was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The run id is empty or too long.
    #[error(transparent)]
    InvalidRunId(#[from] InvalidRunId),
    /// The input has no JSON form.
    #[error("the input of the run cannot be recorded as a `{type_name}` ({reason}): change the type")]
    Unencodable {
        /// The type of the input.
        type_name: Box<str>,
        /// The reason.
        reason: Box<str>,
    },
    /// A run with this id exists, and it has another input.
    #[error("run `{run}` was started with another input: use another run id")]
    InputChanged {
        /// The run.
        run: RunId,
    },
    /// A run with this id exists, and it belongs to another workflow.
    #[error("run `{run}` belongs to the workflow `{workflow}`: use another run id")]
    OtherWorkflow {
        /// The run.
        run: RunId,
        /// The workflow of the run.
        workflow: Arc<str>,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl From<EncodeError> for StartError {
    fn from(EncodeError { type_name, reason, .. }: EncodeError) -> Self {
        Self::Unencodable { type_name, reason }
    }
}

impl StartError {
    fn refused(run: &RunId, refused: Refused) -> Self {
        let run = run.clone();
        match refused {
            Refused::OtherWorkflow { workflow } => Self::OtherWorkflow { run, workflow },
            _ => Self::InputChanged { run },
        }
    }
}

fn submit(workflow: &'static str, run: Arc<str>, input: &impl Serialize) -> Result<Submit, StartError> {
    Ok(Submit::new(RunId::new(run)?, workflow).input(Input::of(input)?))
}

/// Returns the deduplication key in the store. It contains the workflow, because the handle of a run of another one would
/// have the wrong types. The length of its name keeps the keys of any two workflows apart.
fn scoped(submit: &Submit, key: &str) -> Arc<str> {
    format!("{}:{}/{key}", submit.workflow.len(), submit.workflow).into()
}

/// Declares the options of one run and of many runs.
macro_rules! options {
    ($each:ident) => {
        /// Puts the run into this queue.
        ///
        /// # Default
        /// The default queue, whose name is empty.
        pub fn queue(self, queue: impl Into<Arc<str>>) -> Self {
            let queue = queue.into();
            self.$each(|submit| submit.queue(Arc::clone(&queue)))
        }

        /// Sets the key of the run in its queue, for example a customer, a tenant or a host. A queue can limit the runs
        /// of each key. In a fair queue, the keys take turns.
        ///
        /// # Default
        /// None.
        pub fn key(self, key: impl Into<Arc<str>>) -> Self {
            let key = key.into();
            self.$each(|submit| submit.key(Arc::clone(&key)))
        }

        /// Sets the priority. A larger number starts earlier. One point is worth one second of waiting, so even a run
        /// of low priority starts at last. In a fair queue, one point is worth one turn.
        ///
        /// # Default
        /// 0.
        pub fn priority(self, priority: i32) -> Self {
            self.$each(|submit| submit.priority(priority))
        }

        /// Starts the run after `delay` at the earliest, by the store's clock.
        pub fn after(self, delay: Duration) -> Self {
            self.$each(|submit| submit.start(Start::In(delay)))
        }

        /// Starts the run at `moment` at the earliest, by the store's clock.
        pub fn at(self, moment: impl Into<Timestamp>) -> Self {
            let moment = moment.into();
            self.$each(|submit| submit.start(Start::At(moment)))
        }

        /// Adds a tag, by which people find the run: at most 10 tags of at most 100 bytes.
        pub fn tag(self, tag: impl Into<Arc<str>>) -> Self {
            let tag = tag.into();
            self.$each(|submit| submit.tag(Arc::clone(&tag)))
        }

        /// Sets a deduplication key. If a queued run of the workflow in this queue has the key, the call starts no run,
        /// and returns the handle of that run. A run that has begun does not count.
        pub fn deduplicate(self, key: impl Into<Arc<str>>) -> Self {
            let key = key.into();
            self.$each(|submit| {
                let key = scoped(&submit, &key);
                submit.deduplicate(key)
            })
        }

        /// Starts the run after `delay`. If a queued run of the workflow in this queue has the key, the call starts no
        /// run: that run gets the new input, and starts after `delay`. So many calls in a short time start one run,
        /// with the input of the last call.
        pub fn debounce(self, key: impl Into<Arc<str>>, delay: Duration) -> Self {
            let key = key.into();
            self.$each(|submit| {
                let key = scoped(&submit, &key);
                submit.debounce(key).start(Start::In(delay))
            })
        }

        /// Cancels the run if no worker has started it by `moment`, by the store's clock.
        pub fn start_by(self, moment: impl Into<Timestamp>) -> Self {
            let moment = moment.into();
            self.$each(|submit| submit.start_by(moment))
        }
    };
}

impl<S: Dispatch + Clone, T, E, X> Starting<S, T, E, X> {
    pub(super) fn new(
        client: Client<S>,
        workflow: &'static str,
        run: Arc<str>,
        input: &impl Serialize,
    ) -> Self {
        Self { client, submit: submit(workflow, run, input), output: PhantomData }
    }

    options!(each);

    fn each(mut self, change: impl FnOnce(Submit) -> Submit) -> Self {
        self.submit = self.submit.map(change);
        self
    }
}

impl<S: Dispatch + Clone, T, E, X> StartMany<S, T, E, X> {
    pub(super) fn new<I: Serialize>(
        client: Client<S>,
        workflow: &'static str,
        runs: impl Iterator<Item = (Arc<str>, I)>,
    ) -> Self {
        let submits = runs.map(|(run, input)| submit(workflow, run, &input)).collect();
        Self { client, submits, output: PhantomData }
    }

    options!(each);

    fn each(mut self, change: impl Fn(Submit) -> Submit) -> Self {
        self.submits = self.submits.into_iter().map(|submit| submit.map(&change)).collect();
        self
    }
}

impl<S: Dispatch + Clone, T, E, X> Starting<S, T, E, X> {
    /// Starts the run within the transaction that is open on `connection`. If the application commits its own writes,
    /// the run exists; if it rolls them back, the run never existed. On PostgreSQL, the connection is a
    /// `sqlx::Transaction` or a `PgConnection`, to the database of the store.
    ///
    /// # Errors
    /// Fails with [`StartError`]. After an error, roll the transaction back.
    ///
    /// # Cancel safety
    /// If the future is dropped, roll the transaction back.
    ///
    /// # Examples
    /// ```no_run
    /// use awaitly_core::RunError;
    /// use awaitly_engine::{Client, Contract};
    /// use awaitly_persistence::PostgresStore;
    ///
    /// const CHECKOUT: Contract<i64, (), RunError> = Contract::new("checkout");
    ///
    /// async fn place_order(
    ///     pool: &sqlx::PgPool,
    ///     client: &Client<PostgresStore>,
    ///     order: i64,
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     let mut transaction = pool.begin().await?;
    ///     sqlx::query("INSERT INTO orders (id) VALUES ($1)").bind(order).execute(&mut *transaction).await?;
    ///     client.start(CHECKOUT, format!("order-{order}"), &order).within(&mut transaction).await?;
    ///     Ok(transaction.commit().await?)
    /// }
    /// # fn main() {}
    /// ```
    pub async fn within<C: ?Sized>(self, connection: &mut C) -> Result<RunHandle<S, T, E, X>, StartError>
    where
        S: SubmitWithin<C>,
    {
        let Self { client, submit, .. } = self;
        let submit = submit?;
        let run = submit.run.clone();
        let result = client.store.submit_within(connection, vec![submit]).await?.pop();
        started(client, run, result)
    }
}

impl<S: Dispatch + Clone, T: 'static, E: 'static, X: 'static> IntoFuture for Starting<S, T, E, X> {
    type Output = Result<RunHandle<S, T, E, X>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { client, submit, .. } = self;
        Box::pin(async move {
            let submit = submit?;
            let run = submit.run.clone();
            let result = client.store.submit(vec![submit]).await?.pop();
            started(client, run, result)
        })
    }
}

/// Returns the handle of a submitted run.
fn started<S: Dispatch + Clone, T, E, X>(
    client: Client<S>,
    run: RunId,
    result: Option<Result<Submitted, Refused>>,
) -> Result<RunHandle<S, T, E, X>, StartError> {
    match result {
        Some(Err(refused)) => Err(StartError::refused(&run, refused)),
        Some(Ok(Submitted::Duplicate(found))) => Ok(RunHandle::new(client, found)),
        Some(Ok(Submitted::Queued | Submitted::Exists(_))) | None => Ok(RunHandle::new(client, run)),
    }
}

impl<S: Dispatch + Clone, T: 'static, E: 'static, X: 'static> IntoFuture for StartMany<S, T, E, X> {
    type Output = Result<Vec<Result<RunHandle<S, T, E, X>, StartError>>, StoreError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { client, submits, .. } = self;
        Box::pin(async move {
            let runs: Vec<_> = submits
                .iter()
                .map(|submit| submit.as_ref().map(|submit| submit.run.clone()).map_err(Clone::clone))
                .collect();
            let results = client.store.submit(submits.into_iter().flatten().collect()).await?;
            let mut results = results.into_iter();
            let started = runs.into_iter().map(|run| {
                let run = run?;
                started(client.clone(), run, results.next())
            });
            Ok(started.collect())
        })
    }
}

impl<S, T, E, X> fmt::Debug for Starting<S, T, E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starting").field("submit", &self.submit).finish_non_exhaustive()
    }
}

impl<S, T, E, X> fmt::Debug for StartMany<S, T, E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartMany").field("runs", &self.submits.len()).finish_non_exhaustive()
    }
}

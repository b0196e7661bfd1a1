//! The steps that need the engine: children, mail, published values.

mod child;
mod office;
mod publish;
mod receive;

use std::sync::Arc;

use awaitly_core::extend::{attachment, outside};
use awaitly_core::journal::{EncodeError, Key, Timestamp};
use awaitly_core::store::Input;
use awaitly_core::{DurableRun, FromStep, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use child::Child;
pub(crate) use child::{cancel_children, child_question};
pub(crate) use office::{Office, office, retry};
pub use publish::RunStream;
pub use receive::Receive;

use crate::{Contract, schedule};

/// The methods of a run that a worker executes.
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError, step};
/// use awaitly_engine::{Client, Contract, RunExt, Worker};
/// use awaitly_persistence::MemoryStore;
///
/// const ORDER: Contract<u64, u64, RunError> = Contract::new("order");
/// const REFUND: Contract<u64, u64, RunError> = Contract::new("refund");
///
/// async fn order(run: DurableRun, cents: u64) -> Result<u64, RunError> {
///     let approved: bool = step!(run.receive("approval"));
///     run.publish("progress", &0.5).await?;
///     if approved { Ok(cents) } else { Ok(step!(run.child(REFUND, "refund", &cents))) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let worker = Worker::new(store.clone())
///     .serve(ORDER, order)
///     .serve(REFUND, async |_: DurableRun, cents: u64| Ok(cents * 2));
/// let client = Client::new(store);
/// let order = client.start(ORDER, "order-42", &21).await?;
/// order.send("approval", &false).await?;
/// worker.run_until(async { assert_eq!(order.result().await, Ok(42)) }).await?;
/// assert_eq!(order.published("progress").await?, Some(0.5));
/// # Ok(())
/// # }
/// ```
pub trait RunExt {
    /// Starts another run, its child, and waits for the end of the child, as a step. The child has its own journal,
    /// queue and worker. Its id consists of the id of this run and the key of the step.
    ///
    /// See [`Child`] for the errors, the cancellation and the behaviour of a resumed run.
    fn child<'r, I: Serialize, T, E, X>(
        &'r self,
        contract: Contract<I, T, E, X>,
        name: impl Into<Key>,
        input: &I,
    ) -> Child<'r, T, E, X>;

    /// Waits for the next message in a mailbox of the run, as a step with the name of the mailbox. The run receives the
    /// messages of a mailbox in the order in which they were sent, each once.
    ///
    /// See [`Receive`] for the errors and the behaviour of a resumed run.
    fn receive<T: DeserializeOwned>(&self, mailbox: impl Into<Key>) -> Receive<'_, T>;

    /// Publishes a value for clients. The value replaces the earlier value under this name. The call is not a step: a
    /// resumed run publishes the value again.
    ///
    /// # Errors
    /// Returns [`RunError::NoWorker`] if no worker executes the run, [`RunError::Unencodable`] if the value has no JSON
    /// form, and [`RunError::Store`] if the store fails or refuses the value, for example because it is larger than 1
    /// MiB.
    fn publish<V: Serialize + Sync + ?Sized>(
        &self,
        name: &str,
        value: &V,
    ) -> impl Future<Output = Result<(), RunError>> + Send;

    /// Starts the run again under its run id, with another input and a fresh journal. The body must return the error
    /// that this method returns. Use it for an endless loop, because the journal of the loop would grow forever.
    ///
    /// The run keeps its messages and its published values. Its streams become empty. A saga around the call does not
    /// undo its steps.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::hours;
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_engine::RunExt;
    ///
    /// # async fn check(_: u64) -> Result<(), RunError> { Ok(()) }
    /// /// Checks something each hour, forever.
    /// async fn watch(run: DurableRun, round: u64) -> Result<(), RunError> {
    ///     step!(run, check(round));
    ///     step!(run.sleep("pause", hours(1)));
    ///     Err(run.restart(&(round + 1)))
    /// }
    /// ```
    fn restart<I: Serialize, E: FromStep<RunError>>(&self, input: &I) -> E;

    /// Returns the time for which a [schedule](crate::Schedule) started the run, or `None` if no schedule did.
    fn scheduled_for(&self) -> Option<Timestamp>;

    /// Returns a stream of the run, to which it appends items for clients. See [`RunStream`].
    fn stream(&self, name: impl Into<Arc<str>>) -> RunStream<'_>;
}

impl RunExt for DurableRun {
    fn child<'r, I: Serialize, T, E, X>(
        &'r self,
        contract: Contract<I, T, E, X>,
        name: impl Into<Key>,
        input: &I,
    ) -> Child<'r, T, E, X> {
        Child::new(self, contract.name(), name.into(), input)
    }

    fn receive<T: DeserializeOwned>(&self, mailbox: impl Into<Key>) -> Receive<'_, T> {
        Receive::new(self, mailbox.into())
    }

    async fn publish<V: Serialize + Sync + ?Sized>(&self, name: &str, value: &V) -> Result<(), RunError> {
        publish::value(self, name, value).await
    }

    fn restart<I: Serialize, E: FromStep<RunError>>(&self, input: &I) -> E {
        E::from_step(match Input::of(input) {
            Ok(input) => outside::restart(self, input),
            Err(EncodeError { type_name, reason, .. }) => {
                RunError::Unencodable { what: "the next input of the run".into(), type_name, reason }
            }
        })
    }

    fn scheduled_for(&self) -> Option<Timestamp> {
        schedule::scheduled_for(self.id())
    }

    fn stream(&self, name: impl Into<Arc<str>>) -> RunStream<'_> {
        RunStream::new(self, name.into())
    }
}

/// Returns the office of the worker that executes the run.
fn office_of(run: &DurableRun, step: &Key) -> Result<Arc<Office>, RunError> {
    let missing = || outside::stop(run, RunError::NoWorker { step: step.clone() });
    attachment::attached(run).ok_or_else(missing)
}

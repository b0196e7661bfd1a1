//! Executes claimed runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{FromStep, RunError};
use crate::journal::{DecodeError, Outcome, Timestamp};
use crate::run::DurableRun;
use crate::store::Held;
use crate::workflow::{KeepRun, Workflow};

/// Creates a workflow that keeps errors as `X` does: [`Durable`](crate::Durable), or
/// [`ValuesOnly`](crate::step::ValuesOnly) for errors that are kept as text.
#[must_use]
pub fn workflow<X>(name: impl Into<Arc<str>>) -> Workflow<X> {
    Workflow::named(name.into())
}

/// Returns the workflow with all its settings, but it keeps errors as `Y` does.
#[must_use]
pub fn keeping<Y, X>(workflow: Workflow<X>) -> Workflow<Y> {
    workflow.keeping()
}

/// Executes a run of `workflow` that a [claim](crate::store::Dispatch::claim) returned. `now` is the time of the claim.
///
/// Behaves like [`Workflow::run`], but does not open the run: the claim has taken its lease and loaded its journal. The
/// input of the run is the stored one. If the future is dropped, the lease is released.
///
/// # Errors
/// Returns the reason if the execution was interrupted: the run has not ended and does not wait for its own sake. It
/// then waits for `rest`, and is due again. A run that waits or has ended, even with an error, is `Ok`.
///
/// # Panics
/// Panics if the workflow has no store. It must have the store from which the run was claimed.
///
/// # Examples
/// ```
/// use awaitly_core::clock::secs;
/// use awaitly_core::extend::claimed;
/// use awaitly_core::store::{Claim, Dispatch, Owner, StoreError};
/// use awaitly_core::{DurableRun, RunError, Workflow};
///
/// # async fn place_order(_run: &DurableRun) -> Result<u32, RunError> { Ok(7) }
/// /// Executes the due orders, one after the other.
/// async fn work(store: &impl Dispatch, checkout: &Workflow) -> Result<(), StoreError> {
///     let claimed = store.claim(Claim::new(Owner::unique()).serve(checkout.name(), 1)).await?;
///     for held in claimed.runs {
///         let body = async |run: &DurableRun| place_order(run).await;
///         let executed = claimed::execute(checkout, held, claimed.now, secs(1), body).await;
///         executed.unwrap_or_else(|interrupted| println!("{interrupted}"));
///     }
///     Ok(())
/// }
/// ```
pub async fn execute<X, T, E>(
    workflow: &Workflow<X>,
    held: Held,
    now: Timestamp,
    rest: Duration,
    body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
) -> Result<(), RunError>
where
    X: KeepRun<T, E>,
    E: FromStep<RunError> + fmt::Display,
{
    workflow.execute_held(held, now, rest, body).await
}

/// Decodes the outcome of an ended run, as a workflow that keeps errors as `X` does has recorded it.
///
/// # Errors
/// Returns [`DecodeError`] if the outcome is not a `T` or an `E` any more.
pub fn result<X, T, E>(outcome: &Outcome) -> Result<Result<T, E>, DecodeError>
where
    X: KeepRun<T, E>,
{
    X::decode(outcome)
}

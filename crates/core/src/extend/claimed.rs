//! Executes claimed runs.

use std::fmt;

use crate::error::{FromStep, RunError};
use crate::journal::Timestamp;
use crate::run::DurableRun;
use crate::store::Held;
use crate::workflow::{KeepRun, Workflow};

/// Executes a run of `workflow` that a [claim](crate::store::Dispatch::claim) returned. `now` is the time of the claim.
///
/// Behaves like [`Workflow::run`], but does not open the run: the claim has taken its lease and loaded its journal. The
/// input of the run is the stored one. If the future is dropped, the lease is released.
///
/// # Panics
/// Panics if the workflow has no store. It must have the store from which the run was claimed.
///
/// # Examples
/// ```
/// use awaitly_core::extend::claimed;
/// use awaitly_core::store::{Claim, Dispatch, Owner, StoreError};
/// use awaitly_core::{DurableRun, RunError, Workflow};
///
/// # async fn place_order(_run: &DurableRun) -> Result<u32, RunError> { Ok(7) }
/// /// Executes the due orders, one after the other.
/// async fn work(store: &impl Dispatch, checkout: &Workflow) -> Result<(), StoreError> {
///     let claimed = store.claim(Claim::new(Owner::unique()).serve(checkout.name(), 1)).await?;
///     for held in claimed.runs {
///         let placed = claimed::execute(checkout, held, claimed.now, async |run| place_order(run).await).await;
///         println!("{placed:?}");
///     }
///     Ok(())
/// }
/// ```
///
/// # Errors
/// As [`Workflow::run`].
pub async fn execute<X, T, E>(
    workflow: &Workflow<X>,
    held: Held,
    now: Timestamp,
    body: impl AsyncFnOnce(&DurableRun) -> Result<T, E>,
) -> Result<T, E>
where
    X: KeepRun<T, E>,
    E: FromStep<RunError> + fmt::Display,
{
    workflow.execute_held(held, now, body).await
}

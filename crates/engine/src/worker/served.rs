use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use awaitly_core::extend::{attachment, claimed};
use awaitly_core::journal::{Payload, Timestamp};
use awaitly_core::store::{Dispatch, Held};
use awaitly_core::{DurableRun, FromStep, KeepRun, RunError, Workflow};
use serde::de::DeserializeOwned;

use super::PARK_AFTER;
use super::taken::Taken;
use crate::Contract;
use crate::run::{cancel_children, office};

/// A workflow that a worker serves. A function hides the types of its contract, so that the code of the worker is
/// compiled once.
pub(super) struct Served {
    pub(super) version: u32,
    pub(super) lease: Duration,
    execute: Box<Execute>,
}

type Execute = dyn Fn(Held, At, Duration) -> Execution + Send + Sync;

/// The claim of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    /// Its time, by the store's clock.
    pub(super) now: Timestamp,
    /// The lease that it took. The lease of the workflow may be longer.
    pub(super) lease: Duration,
}

/// The execution of a claimed run. An error is the reason for its interruption.
pub(super) type Execution = Pin<Box<dyn Future<Output = Result<(), RunError>> + Send>>;

impl Served {
    pub(super) fn new<I, T, E, X, F, Fut>(
        contract: Contract<I, T, E, X>,
        store: impl Dispatch + Clone,
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
        let office = Arc::new(office(store.clone()));
        let workflow = claimed::workflow(contract.name()).store(store.clone()).park_after(PARK_AFTER);
        let workflow = attachment::attach(configure(workflow), Arc::clone(&office) as _);
        let name = workflow.name();
        assert!(*name == *contract.name(), "`configure` must not return another workflow, as `{name}` is");
        let (version, lease) = (workflow.code_version(), workflow.lease_time());
        let shared = Arc::new((workflow, body, office));
        let execute = move |mut held: Held, at: At, rest| -> Execution {
            // A run that was begun without an input has the input `null`, which is the JSON form of `()`.
            held.run.input.get_or_insert_with(|| Payload::from_stored("null"));
            let (shared, taken) = (Arc::clone(&shared), Taken::new(store.clone(), held));
            Box::pin(async move {
                let (workflow, body, office) = &*shared;
                let body = async |run: &DurableRun| {
                    let input = run.input().map_err(E::from_step)?;
                    cancel_children(run, office).await.map_err(E::from_step)?;
                    let result = body(run.clone(), input).await;
                    if result.is_err() {
                        // The request to cancel the run may have come since.
                        cancel_children(run, office).await.map_err(E::from_step)?;
                    }
                    result
                };
                if lease > at.lease {
                    taken.renew(lease).await?;
                }
                match taken.into_held() {
                    Some(held) => claimed::execute(workflow, held, at.now, rest, body).await,
                    None => Ok(()),
                }
            })
        };
        Self { version, lease, execute: Box::new(execute) }
    }

    /// Executes a claimed run. If the execution is interrupted, the run waits for `rest`.
    pub(super) fn execute(&self, held: Held, at: At, rest: Duration) -> Execution {
        (self.execute)(held, at, rest)
    }
}

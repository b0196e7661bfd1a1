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
use crate::Contract;
use crate::run::office;

/// A workflow that a worker serves. A function hides the types of its contract, so that the code of the worker is
/// compiled once.
pub(super) struct Served {
    pub(super) version: u32,
    pub(super) lease: Duration,
    execute: Box<Execute>,
}

type Execute = dyn Fn(Held, Timestamp, Duration) -> Execution + Send + Sync;

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
        let workflow = configure(claimed::workflow(contract.name()).store(store).park_after(PARK_AFTER));
        let workflow = attachment::attach(workflow, office);
        let name = workflow.name();
        assert!(*name == *contract.name(), "`configure` must not return another workflow, as `{name}` is");
        let (version, lease) = (workflow.code_version(), workflow.lease_time());
        let shared = Arc::new((workflow, body));
        let execute = move |mut held: Held, now, rest| -> Execution {
            // If a run began without an input, its input is `null`, which is the JSON form of `()`.
            held.run.input.get_or_insert_with(|| Payload::from_stored("null"));
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let (workflow, body) = &*shared;
                let body = async |run: &DurableRun| {
                    let input = run.input().map_err(E::from_step)?;
                    body(run.clone(), input).await
                };
                claimed::execute(workflow, held, now, rest, body).await
            })
        };
        Self { version, lease, execute: Box::new(execute) }
    }

    pub(super) fn execute(&self, held: Held, now: Timestamp, rest: Duration) -> Execution {
        (self.execute)(held, now, rest)
    }
}

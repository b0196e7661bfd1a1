//! How what was sent becomes a run, whatever it came by.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use awaitly_core::{DurableRun, FromStep, KeepRun, RunError, Workflow};
use serde::Serialize;

use super::invalid::Invalid;

type Prepare<R, E> = dyn Fn(&R) -> Result<Prepared<E>, Invalid> + Send + Sync;
type Execute<E> = dyn Fn(Arc<str>, How) -> Pin<Box<dyn Future<Output = Ended<E>> + Send>> + Send + Sync;

/// Reads an `R`, and prepares the run with it as its input.
pub(super) struct Start<R, E>(Arc<Prepare<R, E>>);

/// A run that can be executed, under the run id that is given then.
pub(super) struct Prepared<E>(Box<Execute<E>>);

/// How a run is executed.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// To its end, if it has not ended.
    Run,
    /// Also where it has failed before.
    Retry,
}

/// What a run ended in.
pub(super) struct Ended<E> {
    /// The value as JSON, or the error.
    pub(super) result: Result<Vec<u8>, E>,
    /// Whether the body was called, so that this is not what was recorded before.
    pub(super) begun: bool,
}

/// Refuses to let a key choose the run of a workflow that would not know the run again.
///
/// # Panics
/// Panics if the workflow has no store.
pub(super) fn needs_store(workflow: &str, has_store: bool, what: &str) {
    assert!(
        has_store,
        "the workflow `{workflow}` has no store, so {what} would not be known again: give it one with `Workflow::store`"
    );
}

impl<R, E> Start<R, E> {
    pub(super) fn new<X, P, I, F, Fut, T>(workflow: Workflow<X>, parse: P, body: F) -> Self
    where
        X: KeepRun<T, E> + 'static,
        P: Fn(&R) -> Result<I, Invalid> + Send + Sync + 'static,
        I: Serialize,
        F: Fn(DurableRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize + Send + 'static,
        E: FromStep<RunError> + fmt::Display + Send + 'static,
    {
        let body = Arc::new(body);
        Self(Arc::new(move |sent| {
            let workflow = workflow.clone().input(&parse(sent)?);
            let body = Arc::clone(&body);
            Ok(Prepared(Box::new(move |run, how| {
                let (workflow, body) = (workflow.clone(), Arc::clone(&body));
                Box::pin(async move {
                    let begun = AtomicBool::new(false);
                    let body = async |run: &DurableRun| {
                        begun.store(true, Ordering::Relaxed);
                        body(run.clone()).await
                    };
                    let result = match how {
                        How::Run => workflow.run(run, body).await,
                        How::Retry => workflow.retry(run, body).await,
                    };
                    // It was recorded as JSON, so it has such a form.
                    let result = result.map(|value| serde_json::to_vec(&value).unwrap_or_default());
                    Ended { result, begun: begun.into_inner() }
                })
            })))
        }))
    }

    pub(super) fn prepare(&self, sent: &R) -> Result<Prepared<E>, Invalid> {
        self.0(sent)
    }
}

impl<E> Prepared<E> {
    pub(super) async fn execute(&self, run: &Arc<str>, how: How) -> Ended<E> {
        self.0(Arc::clone(run), how).await
    }
}

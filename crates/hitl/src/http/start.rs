//! Turns received content into a run, for requests as well as messages.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use awaitly_core::event::{Event, EventKind};
use awaitly_core::{AsRunError, DurableRun, FromStep, KeepRun, RunError, Workflow};
use serde::Serialize;

use super::problem::Problem;

type Prepare<R, E> = dyn Fn(&R) -> Result<Prepared<E>, Problem> + Send + Sync;
type Execute<E> = dyn Fn(Arc<str>, How) -> Pin<Box<dyn Future<Output = Ended<E>> + Send>> + Send + Sync;

/// Reads an `R` and prepares a run with it as the input.
pub(super) struct Start<R: ?Sized, E>(Arc<Prepare<R, E>>);

/// A run that is ready to be executed under any run id.
pub(super) struct Prepared<E>(Box<Execute<E>>);

/// The way to execute a run.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// Executes the run unless it has ended.
    Run,
    /// Executes the run even if it has failed.
    Retry,
}

/// The result of an execution.
pub(super) struct Ended<E> {
    /// The value as JSON, or the error.
    pub(super) result: Result<Vec<u8>, E>,
    /// Whether the body was called; if not, the result is the recorded one.
    pub(super) begun: bool,
    /// The reason why the run has not ended, if it has not.
    pub(super) pause: Option<Pause>,
}

/// The reason why a run has not ended, regardless of the error that its body returned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// The run waits, is parked, or waits during its undo: an answer or the passing of time lets it continue.
    Waits,
    /// The run was interrupted and can be resumed.
    Interrupted,
    /// The body calls another run, which waits or is being executed.
    Elsewhere,
}

/// The events of the workflow that tell how an execution ended. The error of the body need not reveal it.
#[derive(Default)]
struct Told {
    waits: AtomicBool,
    interrupted: AtomicBool,
}

impl Told {
    fn note(&self, event: &Event) {
        match event.kind {
            EventKind::RunWaiting { .. } => self.waits.store(true, Ordering::Relaxed),
            EventKind::RunInterrupted { .. } => self.interrupted.store(true, Ordering::Relaxed),
            _ => {}
        }
    }

    fn pause(&self, run: &str, error: Option<&RunError>) -> Option<Pause> {
        if self.waits.load(Ordering::Relaxed) {
            return Some(Pause::Waits);
        }
        if self.interrupted.load(Ordering::Relaxed) {
            return Some(Pause::Interrupted);
        }
        match error? {
            RunError::Waiting { .. } => Some(Pause::Elsewhere),
            RunError::Busy { run: busy, .. } if **busy != *run => Some(Pause::Elsewhere),
            _ => None,
        }
    }
}

/// Checks that the workflow can recognize a run by its key.
///
/// # Panics
/// Panics if the workflow has no store.
pub(super) fn needs_store(workflow: &str, has_store: bool, what: &str) {
    assert!(
        has_store,
        "the workflow `{workflow}` has no store, so {what} would not be recognized: set one with `Workflow::store`"
    );
}

impl<R: ?Sized, E> Start<R, E> {
    pub(super) fn new<X, P, I, F, Fut, T>(workflow: Workflow<X>, parse: P, body: F) -> Self
    where
        X: KeepRun<T, E> + 'static,
        P: Fn(&R) -> Result<I, Problem> + Send + Sync + 'static,
        I: Serialize,
        F: Fn(DurableRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize + Send + 'static,
        E: AsRunError + FromStep<RunError> + fmt::Display + Send + 'static,
    {
        let body = Arc::new(body);
        Self(Arc::new(move |sent| {
            let workflow = workflow.clone().input(&parse(sent)?);
            let body = Arc::clone(&body);
            Ok(Prepared(Box::new(move |run, how| {
                let (workflow, body) = (workflow.clone(), Arc::clone(&body));
                Box::pin(async move {
                    let (begun, told) = (AtomicBool::new(false), Arc::new(Told::default()));
                    let ear = Arc::clone(&told);
                    let workflow = workflow.observe(move |event: &Event| ear.note(event));
                    let body = async |run: &DurableRun| {
                        begun.store(true, Ordering::Relaxed);
                        body(run.clone()).await
                    };
                    let result = match how {
                        How::Run => workflow.run(Arc::clone(&run), body).await,
                        How::Retry => workflow.retry(Arc::clone(&run), body).await,
                    };
                    let pause = told.pause(&run, result.as_ref().err().and_then(E::as_run_error));
                    // The value was recorded as JSON, so it has a JSON form.
                    let result = result.map(|value| serde_json::to_vec(&value).unwrap_or_default());
                    Ended { result, begun: begun.into_inner(), pause }
                })
            })))
        }))
    }

    pub(super) fn prepare(&self, sent: &R) -> Result<Prepared<E>, Problem> {
        self.0(sent)
    }
}

impl<E> Prepared<E> {
    pub(super) async fn execute(&self, run: &Arc<str>, how: How) -> Ended<E> {
        let ended = self.0(Arc::clone(run), how).await;
        if ended.pause == Some(Pause::Elsewhere) && !ended.begun {
            // The pause of the other run was recorded as the failure of this run, so this run is retried.
            return self.0(Arc::clone(run), How::Retry).await;
        }
        ended
    }
}

//! How what was sent becomes a run, whatever it came by.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use awaitly_core::event::{Event, EventKind};
use awaitly_core::{AsRunError, DurableRun, FromStep, KeepRun, RunError, Workflow};
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

/// What a call of a run ended in.
pub(super) struct Ended<E> {
    /// The value as JSON, or the error.
    pub(super) result: Result<Vec<u8>, E>,
    /// Whether the body was called, so that this is not what was recorded before.
    pub(super) begun: bool,
    /// Why this is not the end of the run.
    pub(super) pause: Option<Pause>,
}

/// Why a run has not ended, whatever its error looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// It waits, is parked, or waits in the middle of its undo: an answer or its time lets it go on.
    Waits,
    /// It stopped where it stands, and stays to be resumed.
    Interrupted,
    /// Another run, which its body calls, waits or is being executed.
    Elsewhere,
}

/// What the workflow tells of the end of an execution. The error of a body need not show it.
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
                    // It was recorded as JSON, so it has such a form.
                    let result = result.map(|value| serde_json::to_vec(&value).unwrap_or_default());
                    Ended { result, begun: begun.into_inner(), pause }
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
        let ended = self.0(Arc::clone(run), how).await;
        if ended.pause == Some(Pause::Elsewhere) && !ended.begun {
            // The pause of the other run was recorded as the failure of this one: it is asked anew.
            return self.0(Arc::clone(run), How::Retry).await;
        }
        ended
    }
}

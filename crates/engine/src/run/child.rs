use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awaitly_core::clock::secs;
use awaitly_core::dispatch::ChildQuestion;
use awaitly_core::extend::claimed;
use awaitly_core::extend::outside::{self, Errand};
use awaitly_core::journal::{
    EncodeError, Header, Key, Outcome, Payload, Refused, Status, Timestamp, WaitEntry,
};
use awaitly_core::store::{Input, InvalidRunId, RunId, StoreError, Submit, Submitted};
use awaitly_core::{DurableRun, Error, FromStep, KeepRun, RunError, WaitFor};
use serde::Serialize;

use super::{Office, office_of};
use crate::contract::Output;

/// A step that starts another run, and waits for its end: [`RunExt::child`](super::RunExt::child) returns it. Await it,
/// or pass it to `step!`.
///
/// # Errors
/// Awaiting the step returns [`RunError::Waiting`] until the child ends. If the body returns this error, the run waits
/// without a task, and the end of the child makes it due.
///
/// It returns [`Error::Failed`] with the error of the child if the child failed, [`RunError::Cancelled`] if the child
/// was cancelled, [`RunError::InputChanged`] or [`RunError::OtherWorkflow`] if a run with the id of the child exists
/// and has another input or workflow, [`RunError::NoWorker`] if no worker executes this run, or one of the errors of
/// recording a step.
///
/// # Cancellation
/// If this run is cancelled while it waits, it cancels its child, too, unless the child is [detached](Self::detached) or
/// a compensation waits for it. It does not wait until the child has undone its work.
///
/// # Resume
/// The child is started once. If the run is resumed before the child ends, it waits again; afterwards, it returns the
/// recorded outcome of the child. If the run failed on this step, a retry of the run retries the child, too, unless a
/// client or another run [started](Self::id) it.
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct Child<'r, T, E, X> {
    run: &'r DurableRun,
    question: WaitFor<'r, ()>,
    workflow: &'static str,
    input: Result<Input, EncodeError>,
    id: Option<Arc<str>>,
    queue: Arc<str>,
    key: Option<Arc<str>>,
    priority: i32,
    is_detached: bool,
    output: Output<T, E, X>,
}

/// Returns the question of an entry, if the entry waits for a child.
pub(crate) fn child_question(entry: &WaitEntry) -> Option<ChildQuestion> {
    entry.request.decode().ok()
}

impl<'r, T, E, X> Child<'r, T, E, X> {
    pub(super) fn new(
        run: &'r DurableRun,
        workflow: &'static str,
        name: Key,
        input: &impl Serialize,
    ) -> Self {
        Self {
            run,
            question: run.wait_for(name),
            workflow,
            input: Input::of(input),
            id: None,
            queue: Arc::default(),
            key: None,
            priority: 0,
            is_detached: false,
            output: PhantomData,
        }
    }

    /// Sets the run id of the child. If another run or a client has started a run with this id, workflow and input, this
    /// run waits for that one: it looks every ten seconds whether it has ended. If that run has failed, the step fails,
    /// too, and does not retry it.
    ///
    /// # Default
    /// The id of this run, a slash, and the key of the step. If this run was [restarted](crate::RunExt::restart), `%r` and
    /// the number of restarts follow its id, so that each round has children of its own. Do not use such ids for other
    /// runs.
    pub fn id(mut self, run: impl Into<Arc<str>>) -> Self {
        self.id = Some(run.into());
        self
    }

    /// Puts the child into this queue.
    ///
    /// # Default
    /// The default queue.
    pub fn queue(mut self, queue: impl Into<Arc<str>>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Sets the key of the child in its queue.
    pub fn queue_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the priority of the child. One point is worth one second of waiting.
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Records the outcome under `key` instead of the step's name: see
    /// [`Step::key`](awaitly_core::step::Step::key).
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.question = self.question.key(key);
        self
    }

    /// Lets the child continue if this run is cancelled.
    pub const fn detached(mut self) -> Self {
        self.is_detached = true;
        self
    }

    fn child_id(&self, step: &Key) -> Result<RunId, RunError> {
        let id = self.id.clone().unwrap_or_else(|| match outside::restarts(self.run) {
            0 => format!("{}/{step}", self.run.id()).into(),
            restarts => format!("{}%r{restarts}/{step}", self.run.id()).into(),
        });
        RunId::new(id).map_err(|InvalidRunId { bytes, .. }| RunError::TooLarge {
            what: format!("the run id of the child `{step}`").into(),
            bytes,
            limit: RunId::MAX_BYTES,
        })
    }

    /// Returns the submission of the child.
    fn submit(&self, step: &Key) -> Result<Submit, RunError> {
        let asked = outside::entry(self.run, step).and_then(|entry| child_question(&entry));
        let child = match asked {
            // A migration may have renamed the step since it started the child.
            Some(asked) if self.id.is_none() => asked.child,
            _ => self.child_id(step)?,
        };
        let input =
            self.input.clone().map_err(|EncodeError { type_name, reason, .. }| RunError::Unencodable {
                what: format!("the input of the child `{step}`").into(),
                type_name,
                reason,
            })?;
        let parent = RunId::new(self.run.id()).map_err(RunError::from)?;
        let submit = Submit::new(child, self.workflow).input(input).child_of(parent, step.clone());
        let submit = submit.queue(Arc::clone(&self.queue)).priority(self.priority);
        Ok(match &self.key {
            Some(key) => submit.key(Arc::clone(key)),
            None => submit,
        })
    }
}

impl<'r, T, E, X> IntoFuture for Child<'r, T, E, X>
where
    T: Send + 'r,
    E: FromStep<RunError> + Send + 'r,
    X: KeepRun<T, E> + 'r,
{
    type Output = Result<T, Error<E>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'r>>;

    fn into_future(self) -> Self::IntoFuture {
        let step = outside::key_of(&self.question);
        let submit = self.submit(&step);
        let Self { run, question, is_detached, .. } = self;
        Box::pin(async move {
            let outcome = match submit {
                Ok(submit) => wait(run, question, submit, is_detached).await,
                Err(error) => Err(error),
            };
            read::<T, E, X>(&step, &outcome.map_err(Error::Run)?)
        })
    }
}

/// The time between two checks of a child that may end without answering this run.
const LOOK_AGAIN: Duration = secs(10);

/// Starts the child if it was not started yet, and returns its outcome.
async fn wait(
    run: &DurableRun,
    question: WaitFor<'_, ()>,
    submit: Submit,
    is_detached: bool,
) -> Result<Outcome, RunError> {
    let step = outside::key_of(&question);
    let office = office_of(run, &step)?;
    let asked = outside::entry(run, &step).map(|entry| entry.since);
    let continues = is_detached || outside::is_shielded(&question);
    let (child, workflow) = (submit.run.clone(), Arc::clone(&submit.workflow));
    let question = question.request(&ChildQuestion { child, workflow, continues });
    let looks_again = Arc::new(AtomicBool::new(false));
    let is_unsure = Arc::clone(&looks_again);
    let renewed = outside::renew(run);
    let begin = Errand::Begin(Box::new(move |_| {
        Box::pin(async move { start(&office, submit, asked, &is_unsure, renewed).await })
    }));
    let outcome = outside::outcome(outside::with_errand(question, begin)).await;
    if matches!(outcome, Err(RunError::Waiting { .. })) && looks_again.load(Ordering::Relaxed) {
        outside::wake_at(run, &step, outside::time(run).after(LOOK_AGAIN));
    }
    outcome
}

/// Cancels the children that the run waits for, if the run is to be cancelled. The body may not reach their steps any
/// more, so this does not depend on it.
pub(crate) async fn cancel_children(run: &DurableRun, office: &Office) -> Result<(), RunError> {
    if !outside::is_to_be_cancelled(run) {
        return Ok(());
    }
    let questions = outside::entries(run).into_iter().filter_map(|entry| child_question(&entry));
    for ChildQuestion { child, .. } in questions.filter(|question| !question.continues) {
        let cancelled = office.cancel(child).await;
        cancelled.map(drop).map_err(|error| outside::stop(run, RunError::Store(error)))?;
    }
    Ok(())
}

/// Submits the child. Returns an outcome if the child has ended already or cannot start. `asked` is the time at which
/// an earlier execution asked the question.
///
/// Sets `looks_again` if the child may not answer. Either a client or another run started the child, so its end does
/// not answer this run. Or another process holds the child, so this run cannot retry it now.
async fn start(
    office: &Office,
    submit: Submit,
    asked: Option<Timestamp>,
    looks_again: &AtomicBool,
    renewed: impl Future<Output = Result<(), StoreError>>,
) -> Result<Option<Outcome>, StoreError> {
    let (child, parent) = (submit.run.clone(), submit.parent.clone());
    match office.submit(submit).await? {
        Ok(Submitted::Queued | Submitted::Duplicate(_)) => Ok(None),
        // The child may have ended, although its end has not reached the parent: on a store that cannot commit both at
        // once, or because the child is older than the question.
        Ok(Submitted::Exists(_)) => {
            let header = office.header(child.clone()).await?;
            let is_ours = header.as_ref().is_some_and(|header| header.parent.as_deref() == parent.as_ref());
            looks_again.store(!is_ours, Ordering::Relaxed);
            let Some(header) = header.filter(|header| header.status.has_ended()) else { return Ok(None) };
            if !is_ours || !is_left_over(&header, asked) {
                return Ok(Some(outcome_of(header)));
            }
            // If another worker has taken the parent over, the child may have failed for that one.
            renewed.await?;
            let is_retried = office.retry(child).await?;
            looks_again.store(!is_retried, Ordering::Relaxed);
            Ok(None)
        }
        Err(refused) => Ok(Some(stopped(&match refused {
            Refused::OtherWorkflow { workflow } => {
                RunError::OtherWorkflow { run: (*child).into(), workflow: (*workflow).into() }
            }
            _ => RunError::InputChanged { what: format!("the child `{child}`").into() },
        }))),
    }
}

/// Returns whether a failed or cancelled child ended before the question was asked: a retry of the parent has dropped its
/// outcome. The process that asked the question may have died before it retried the child.
fn is_left_over(header: &Header, asked: Option<Timestamp>) -> bool {
    header.status != Status::Completed && asked.is_none_or(|asked| header.changed < asked)
}

/// Returns the outcome of a child that has ended. A run that was cancelled before it began has none.
fn outcome_of(header: Header) -> Outcome {
    header.outcome.unwrap_or_else(|| stopped(&RunError::Cancelled { step: None }))
}

fn stopped(error: &RunError) -> Outcome {
    // An error always has a JSON form.
    Outcome::Stopped(Payload::encode(error).unwrap_or_else(|_| Payload::from_stored("null")))
}

/// Reads the outcome of the child.
fn read<T, E, X>(step: &Key, outcome: &Outcome) -> Result<T, Error<E>>
where
    X: KeepRun<T, E>,
{
    let undecodable = |error: awaitly_core::journal::DecodeError| {
        Error::Run(RunError::Undecodable {
            what: format!("the result of the child `{step}`").into(),
            type_name: error.type_name,
            reason: error.reason,
        })
    };
    if let Outcome::Stopped(payload) = outcome {
        return Err(payload.decode().map_or_else(undecodable, Error::Run));
    }
    claimed::result::<X, T, E>(outcome).map_err(undecodable)?.map_err(Error::Failed)
}

impl<T, E, X> fmt::Debug for Child<'_, T, E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("workflow", &self.workflow).finish_non_exhaustive()
    }
}

//! A step that is completed from outside. It has no operation: it is looked up, and if no answer is recorded, the
//! question is asked.

use std::any::type_name;
use std::fmt::Write;
use std::pin::Pin;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Frame;
use crate::error::RunError;
use crate::journal::{DecodeError, EncodeError, Key, Outcome, Payload, Record, Settling, Timestamp};
use crate::shared::{Shared, Waits, Writer};
use crate::stage::Reply;
use crate::store::{Lease, StoreError, Wait};

/// The question, and the time to answer it.
pub(crate) struct Question {
    pub(crate) request: Option<Result<Payload, EncodeError>>,
    pub(crate) expires_in: Option<Duration>,
    /// Converts an answer into its recorded form.
    pub(crate) wrap: Option<Wrap>,
    /// Work that belongs to the question.
    pub(crate) errand: Option<Errand>,
}

/// Work that belongs to a question. It is done in each execution that finds no answer.
pub enum Errand {
    /// Looks for the answer before the question is asked. If there is an answer, the store has recorded it under the
    /// key of the question already.
    Fetch(Fetch),
    /// Has to be done after the question was asked, so that the answer finds it. If there is an answer already, it is
    /// recorded.
    Begin(Fetch),
}

/// A future of an answer, if there is one. It gets the lease of the run.
pub type Fetch = Box<
    dyn FnOnce(Lease) -> Pin<Box<dyn Future<Output = Result<Option<Outcome>, StoreError>> + Send>> + Send,
>;

impl std::fmt::Debug for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fetch(_) => "Fetch",
            Self::Begin(_) => "Begin",
        })
    }
}

/// Converts an answer into its recorded form, with the moment of the answer.
pub(crate) type Wrap = fn(Payload, Timestamp) -> Payload;

/// Returns the answer, or asks the question and returns [`RunError::Waiting`].
///
/// A rejection, or an answer that is not a `T`, is a failure of the step, so a retry of the run asks again.
pub(crate) async fn ask_outside<T: DeserializeOwned>(
    frame: Frame<'_>,
    question: Question,
) -> Result<T, RunError> {
    let stage = frame.run().and_then(Shared::stage).map(|_| frame.id());
    let run = frame.run();
    let answer = ask_and_read(frame, question, decoded).await?;
    if let (Err(error @ RunError::Undecodable { .. }), Some(run), Some(id)) = (&answer, run, &stage)
        && let Some(stage) = run.stage()
    {
        stage.refuses(Some(id), error);
    }
    answer
}

/// Asks like [`ask_outside`], and returns the recorded outcome. An error of the answer is a failure of the step, too.
pub(crate) async fn ask_for_outcome(frame: Frame<'_>, question: Question) -> Result<Outcome, RunError> {
    let read = |_, outcome: &Outcome| match outcome {
        Outcome::Value(_) => Ok(outcome.clone()),
        Outcome::Failed(_) | Outcome::Stopped(_) => Err(outcome.clone()),
    };
    ask_and_read(frame, question, read).await.map(|outcome| outcome.unwrap_or_else(|outcome| outcome))
}

/// Returns the answer as `read` reads it. If it reads an error, the step has failed.
async fn ask_and_read<T, E>(
    mut frame: Frame<'_>,
    question: Question,
    read: impl FnOnce(Key, &Outcome) -> Result<T, E>,
) -> Result<Result<T, E>, RunError> {
    frame.looks_up();
    match outcome(&mut frame, question).await {
        Ok(Some(outcome)) => {
            let answer = read(frame.label().clone(), &outcome);
            frame.reused(answer.is_err());
            Ok(answer)
        }
        Ok(None) => {
            let error = RunError::Waiting { step: frame.label().clone() };
            frame.waiting();
            frame.note_pause(&error);
            Err(error)
        }
        Err(error) => {
            frame.note_pause(&error);
            Err(error)
        }
    }
}

/// Returns the recorded outcome or a new answer, or `None` if there is no answer yet.
async fn outcome(frame: &mut Frame<'_>, question: Question) -> Result<Option<Outcome>, RunError> {
    let found = frame.look_up(true)?;
    match (found, frame.run()) {
        (Some(found), _) => Ok(Some(found.outcome)),
        (None, Some(run)) => ask(frame, run, question).await,
        (None, None) => Ok(None),
    }
}

/// Decodes the answer.
fn decoded<T: DeserializeOwned>(step: Key, outcome: &Outcome) -> Result<T, RunError> {
    let undecodable = |DecodeError { reason, .. }| RunError::Undecodable {
        what: format!("step `{step}`").into(),
        type_name: type_name::<T>().into(),
        reason,
    };
    match outcome {
        Outcome::Value(payload) => payload.decode().map_err(undecodable),
        Outcome::Stopped(payload) => Err(payload.decode::<RunError>().unwrap_or_else(undecodable)),
        Outcome::Failed(payload) => {
            let reason = payload.as_str().into();
            Err(RunError::Rejected { step, reason })
        }
    }
}

/// Asks the question, if it was not asked before. Returns `None` if there is no answer yet.
async fn ask(frame: &mut Frame<'_>, run: &Shared, question: Question) -> Result<Option<Outcome>, RunError> {
    let (key, Question { request, expires_in, wrap, mut errand }) = (frame.label().clone(), question);
    let request = match request {
        None => Payload::from_stored("null"),
        Some(Ok(request)) if request.len() <= Payload::MAX_BYTES => request,
        Some(Ok(request)) => return Err(frame.too_large(request.len())),
        Some(Err(error)) => return Err(frame.unencodable(&error)),
    };
    if let Some(outcome) = frame.reply(wrap) {
        return answer_at_once(frame, run, outcome).await.map(Some);
    }
    let asked = run.journal.wait_entry(&key).map(|entry| entry.expires);
    let expires = asked.unwrap_or_else(|| expires_in.map(|delay| run.time.stamp().after(delay)));
    if let Some(Writer { store, lease, .. }) = run.journal.writer() {
        if let Some(Errand::Fetch(fetch)) = errand.take_if(|errand| matches!(errand, Errand::Fetch(_)))
            && let Some(found) = fetch(lease.clone()).await.map_err(|error| frame.not_asked(error))?
        {
            return Ok(Some(found));
        }
        if asked.is_none() {
            let wait = Wait { key: key.clone(), token: token(run, &key)?, request, expires_in };
            store.wait(lease, wait.clone()).await.map_err(|error| frame.not_asked(error))?;
            run.journal.note_asked(wait.begin(run.time.stamp()));
        } else if expires.is_some_and(|expires| expires <= run.time.stamp()) {
            let outcome = expired(&key);
            let record = Record { key: key.clone(), outcome, input: None };
            let settled = store.settle(lease, record, Settling::Expire).await;
            let stands = settled.map_err(|error| frame.not_asked(error))?;
            if stands.is_some() {
                return Ok(stands);
            }
        }
        if let Some(Errand::Begin(begin)) = errand
            && let Some(outcome) = begin(lease.clone()).await.map_err(|error| frame.not_asked(error))?
        {
            let record = Record { key: key.clone(), outcome, input: None };
            let settled = store.settle(lease, record, Settling::Withdraw).await;
            if let Some(stands) = settled.map_err(|error| frame.not_asked(error))? {
                return Ok(Some(stands));
            }
        }
    }
    let in_undo = frame.is_shielded();
    run.stopping.note_waiting(Waits { for_answer: true, wake: expires, in_undo, ..Waits::at(key) });
    Ok(None)
}

/// Records the answer of a test. If the question was asked before, the answer replaces it.
async fn answer_at_once(frame: &mut Frame<'_>, run: &Shared, outcome: Outcome) -> Result<Outcome, RunError> {
    let key = frame.label().clone();
    if let Some(Writer { store, lease, .. }) =
        run.journal.writer().filter(|_| run.journal.wait_entry(&key).is_some())
    {
        let record = Record { key, outcome: outcome.clone(), input: None };
        let settled = store.settle(lease, record, Settling::Withdraw).await;
        return Ok(settled.map_err(|error| frame.not_recorded(error))?.unwrap_or(outcome));
    }
    frame.record_now(outcome.clone()).await?;
    Ok(outcome)
}

fn expired(key: &Key) -> Outcome {
    // A key always has a JSON form.
    let error = Payload::encode(&RunError::Expired { step: key.clone() });
    Outcome::Stopped(error.unwrap_or_else(|_| Payload::from_stored("null")))
}

/// Returns 128 unpredictable bits as hexadecimal digits.
fn token(run: &Shared, key: &Key) -> Result<Box<str>, RunError> {
    let mut bytes = [0; 16];
    if run.stage().is_some() {
        // A test gets equal tokens in each execution.
        run.dice(&format!("{} {key} {}", run.run_id(), run.time.stamp().as_millis()), 0).fill(&mut bytes);
    } else if let Err(error) = getrandom::fill(&mut bytes) {
        let reason = format!("the system gives no random numbers ({error})").into();
        let (step, by) = (run.run_id().to_owned().into(), "wait_for".into());
        return Err(RunError::Refused { step, by, reason, retry_after: None });
    }
    Ok(bytes
        .iter()
        .fold(String::with_capacity(32), |mut text, byte| {
            // A write to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
        .into())
}

impl Frame<'_> {
    /// Returns the answer of a test in its recorded form.
    fn reply(&self, wrap: Option<Wrap>) -> Option<Outcome> {
        let run = self.run()?;
        let wrapped = |payload| match wrap {
            Some(wrap) => wrap(payload, run.time.stamp()),
            None => payload,
        };
        Some(match run.stage()?.answer(&self.id())? {
            Reply::Value(value) => Outcome::Value(wrapped(value)),
            Reply::Rejected(reason) => Outcome::Failed(wrapped(reason)),
            Reply::Expired => expired(self.label()),
        })
    }

    /// Sends the event that the run waits at this step.
    fn waiting(&self) {
        self.tell(|step| crate::event::EventKind::StepWaiting { step });
    }

    fn too_large(&self, bytes: usize) -> RunError {
        let what = format!("the request of {}", self.as_subject()).into();
        self.stopped(RunError::TooLarge { what, bytes, limit: Payload::MAX_BYTES })
    }
}

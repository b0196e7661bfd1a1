//! Waits inside a run: for a duration, and for an answer from outside.

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, later};
use crate::error::{Limit, RunError};
use crate::journal::{Key, Outcome, Payload, Timestamp};
use crate::shared::{Shared, Waits};
use crate::step::{Errand, Frame, Question, Wrap, ask_for_outcome, ask_outside};

/// The recorded end of a durable sleep.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Waking {
    until_ms: Timestamp,
}

/// Waits for `duration`. If there is a frame, records the moment of waking and waits for the remaining time.
pub(crate) async fn sleep(
    run: Option<&Shared>,
    clock: &dyn Clock,
    frame: Option<Frame<'_>>,
    step: Key,
    duration: Duration,
) -> Result<(), RunError> {
    let (Some(mut frame), Some(run)) = (frame, run) else {
        return wait(run, clock, step, duration).await;
    };
    let slept = durable_sleep(run, clock, &mut frame, duration).await;
    slept.inspect_err(|error| frame.paused(error))
}

async fn durable_sleep(
    run: &Shared,
    clock: &dyn Clock,
    frame: &mut Frame<'_>,
    duration: Duration,
) -> Result<(), RunError> {
    let step = frame.label().clone();
    frame.looks_up();
    let (until_ms, left) = match frame.look_up(true)? {
        Some(found) => {
            let waking: Result<Waking, _> = found.outcome.payload().decode();
            let Waking { until_ms } = waking.map_err(|error| frame.undecodable(&error))?;
            let left = run.time.stamp().until(until_ms);
            frame.reused(false);
            if left.is_zero() {
                return Ok(());
            }
            frame.sleeps();
            (until_ms, left)
        }
        None => {
            frame.sleeps();
            let until_ms = run.time.stamp().after(duration);
            // A number always has a JSON form.
            let waking = Payload::encode(&Waking { until_ms });
            let waking = waking.unwrap_or_else(|_| Payload::from_stored("null"));
            frame.record_now(Outcome::Value(waking)).await?;
            (until_ms, run.time.stamp().until(until_ms))
        }
    };
    if !frame.is_shielded() {
        run.may_begin(&step)?;
        run.may_go_beyond(&step)?;
    }
    if run.time.parks(left) {
        let in_undo = frame.is_shielded();
        run.stopping.note_waiting(Waits { wake: Some(until_ms), in_undo, ..Waits::at(step.clone()) });
        return Err(RunError::Waiting { step });
    }
    wait(Some(run).filter(|_| !frame.is_shielded()), clock, step, left).await?;
    frame.succeeded();
    Ok(())
}

/// Waits for `duration`, or until the run is cancelled or out of time. `step` is the waiting step.
async fn wait(
    run: Option<&Shared>,
    clock: &dyn Clock,
    step: Key,
    duration: Duration,
) -> Result<(), RunError> {
    let until = later(clock.now(), duration);
    let deadline = run.and_then(|run| run.time.deadline()).filter(|(at, _)| *at < until);
    let mut sleep = clock.sleep_until(deadline.map_or(until, |(at, _)| at));
    let token = run.and_then(|run| run.stopping.live_token());
    let mut cancelled = token.map(|token| Box::pin(token.clone().cancelled_owned()));
    let was_cancelled = poll_fn(|cx| {
        if cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(true);
        }
        sleep.as_mut().poll(cx).map(|()| false)
    })
    .await;
    let error = match deadline {
        _ if was_cancelled => RunError::Cancelled { step: Some(step) },
        Some((_, after)) => RunError::Timeout { step, attempt: 1, after, limit: Limit::Run },
        None => return Ok(()),
    };
    if let Some(run) = run {
        run.stopping.note_pause(&error);
    }
    Err(error)
}

/// A step that is completed from outside: by a webhook, a person or another program. Created by
/// [`Run::wait_for`](crate::Run::wait_for).
///
/// # Errors
/// Awaiting the step returns [`RunError::Waiting`] until the answer arrives. If the body returns this error, the run
/// waits without a task and without memory.
///
/// In a later execution, awaiting the step returns [`RunError::Expired`] if the time to answer ran out first,
/// [`RunError::Rejected`] if the answer is a rejection, [`RunError::Undecodable`] if the answer is not a `T`, or one of
/// the errors of recording a step.
///
/// # Cancel safety
/// If the future is dropped, the question may or may not have been asked.
///
/// # Resume
/// The question is asked once. If the run is resumed before the answer arrives, it ends in [`RunError::Waiting`] at
/// this step again. If it is resumed after the answer has arrived, the step returns the answer like any recorded
/// outcome.
///
/// # Examples
/// ```
/// use awaitly_core::{RunError, Workflow, step};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let refund = Workflow::new("refund");
/// let refunded = refund.run("order-42", async |run| {
///     let approved: bool = step!(run.wait_for("manager").request("Refund 42.00?"));
///     Ok::<_, RunError>(approved)
/// });
/// // `Operate::answer` records the answer; after that, the run returns it.
/// assert_eq!(refunded.await, Err(RunError::Waiting { step: "manager".into() }));
/// # }
/// ```
#[must_use = "it does nothing unless it is awaited: put it into `step!(..)`, or `.await` it"]
pub struct WaitFor<'r, T> {
    frame: Frame<'r>,
    question: Question,
    answer: PhantomData<fn() -> T>,
}

impl<'r, T> WaitFor<'r, T> {
    pub(crate) const fn new(frame: Frame<'r>) -> Self {
        Self {
            frame,
            question: Question { request: None, expires_in: None, wrap: None, errand: None },
            answer: PhantomData,
        }
    }

    /// Sets the question: data for the person or program that answers.
    ///
    /// # Default
    /// No data: the question is JSON `null`.
    ///
    /// # Errors
    /// Awaiting the step returns [`RunError::Unencodable`] if `request` has no JSON form, or [`RunError::TooLarge`] if
    /// its JSON form is longer than [`Payload::MAX_BYTES`].
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::{DurableRun, RunError};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Question<'a> {
    ///     order: &'a str,
    ///     cents: u64,
    /// }
    ///
    /// async fn ask(run: &DurableRun, order: &str) -> Result<bool, RunError> {
    ///     run.wait_for("manager").request(&Question { order, cents: 4200 }).await
    /// }
    /// ```
    pub fn request<Q: Serialize + ?Sized>(mut self, request: &Q) -> Self {
        self.question.request = Some(Payload::encode(request));
        self
    }

    /// Sets the time to answer. It begins when the question is recorded, and the store's clock measures it.
    ///
    /// # Default
    /// No limit.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::clock::hours;
    /// use awaitly_core::{DurableRun, RunError};
    ///
    /// /// Returns the carrier's tracking number, or `None` if the carrier does not confirm in time.
    /// async fn confirmed(run: &DurableRun) -> Result<Option<String>, RunError> {
    ///     match run.wait_for("carrier").expires_in(hours(4)).await {
    ///         Err(RunError::Expired { .. }) => Ok(None),
    ///         number => number.map(Some),
    ///     }
    /// }
    /// ```
    pub fn expires_in(mut self, delay: Duration) -> Self {
        self.question.expires_in = Some(delay);
        self
    }

    pub(crate) fn wrapped(mut self, wrap: Wrap) -> Self {
        self.question.wrap = Some(wrap);
        self
    }

    pub(crate) fn with_errand(mut self, errand: Errand) -> Self {
        self.question.errand = Some(errand);
        self
    }

    /// Returns the recorded outcome instead of the answer.
    pub(crate) fn into_outcome(self) -> impl Future<Output = Result<Outcome, RunError>> + Send + 'r {
        ask_for_outcome(self.frame, self.question)
    }

    pub(crate) const fn frame(&self) -> &Frame<'r> {
        &self.frame
    }

    /// Waits under `key` instead of the step's name: see [`Step::key`](crate::step::Step::key).
    ///
    /// ```
    /// use awaitly_core::{DurableRun, RunError, step};
    ///
    /// async fn all_arrive(run: &DurableRun, parcels: &[u64]) -> Result<(), RunError> {
    ///     for parcel in parcels {
    ///         let () = step!(run.wait_for("parcel").key(format!("parcel:{parcel}")));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.frame.set_key(&key.into());
        self
    }
}

impl<'r, T: DeserializeOwned + 'r> IntoFuture for WaitFor<'r, T> {
    type Output = Result<T, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'r>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { frame, question, .. } = self;
        Box::pin(ask_outside(frame, question))
    }
}

impl<T> fmt::Debug for WaitFor<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitFor").field("step", self.frame.name()).finish_non_exhaustive()
    }
}

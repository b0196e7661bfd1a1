//! The typed part of the step's machine: a thin shell over [`Frame`].

use std::fmt;
use std::future;
use std::time::Duration;

use super::frame::{Frame, Next, Recording};
use super::invoke::Invoke;
use super::keep::{Ended, Keep};
use crate::error::{Error, Limit, RunError};
use crate::guard::{Pass, Refusal, Verdict};
use crate::journal::Outcome;
use crate::retry::Retry;
use crate::stage::{Cue, Misfit};

/// Returns the outcome of a step that does not have to run: a recorded one, or the error that refuses the step.
#[inline]
pub(super) fn look_up<T, E: fmt::Display, R: Keep<T, E>>(frame: &mut Frame<'_>) -> Option<Ended<T, E>> {
    match frame.look_up(R::KEEPS) {
        Ok(None) => None,
        Ok(Some(found)) => reuse::<T, E, R>(frame, &found.outcome),
        Err(error) => Some(Err(Error::Run(refused(frame, error)))),
    }
}

/// Returns the recorded outcome, if it is valid.
#[inline(never)]
fn reuse<T, E: fmt::Display, R: Keep<T, E>>(frame: &mut Frame<'_>, outcome: &Outcome) -> Option<Ended<T, E>> {
    match R::decode(outcome) {
        Some(Ok(ended)) => {
            frame.reused(ended.is_err());
            Some(ended)
        }
        Some(Err(error)) => Some(Err(Error::Run(frame.undecodable(&error)))),
        None => frame.disregard().err().map(|error| Err(Error::Run(refused(frame, error)))),
    }
}

/// Returns the value in the journal, if it was not handed out yet.
pub(super) fn recorded<T, E, R: Keep<T, E>>(frame: &Frame<'_>) -> Option<T> {
    R::decode(&frame.peek()?)?.ok()?.ok()
}

/// Notes that `error` refuses the step, and returns the error.
#[cold]
fn refused(frame: &Frame<'_>, error: RunError) -> RunError {
    frame.note_pause(&error);
    error
}

/// Returns the result of a scripted attempt, or `None` if the operation is called.
#[cold]
#[inline(never)]
pub(super) fn played<T, E, R: Keep<T, E>>(cue: Cue) -> Option<Result<Ended<T, E>, Misfit>> {
    Some(match cue {
        Cue::Operation => return None,
        Cue::Value(value) => R::played(value).map(Ok),
        Cue::Error(error) => R::played_error(error).map(|error| Err(Error::Failed(error))),
        Cue::Stopped(error) => Ok(Err(Error::Run(error))),
        Cue::Unscripted => Err(Misfit::Unscripted),
    })
}

/// Passes the end of the attempt to the guards. The guards ignore a cancelled attempt, and a timeout that was mostly
/// spent waiting for the guards.
pub(super) fn leave<T, E>(
    pass: Option<impl Pass<E>>,
    ended: &Ended<T, E>,
    ran_for_most_of: impl FnOnce(Duration) -> bool,
) {
    let Some(pass) = pass else { return };
    match ended {
        Ok(_) => pass.leave(Verdict::Succeeded),
        Err(Error::Failed(error)) => pass.leave(Verdict::Failed(error)),
        Err(Error::Run(RunError::Timeout { limit: Limit::Attempt, after, .. }))
            if ran_for_most_of(*after) =>
        {
            pass.leave(Verdict::TimedOut);
        }
        // A deadline of the step or the run is no evidence about the service.
        Err(Error::Run(_)) => drop(pass),
    }
}

/// Returns the next state after a refusal, if the step asks its guards again.
#[cold]
pub(super) fn ask_again<F, A: Invoke<F>>(
    frame: &mut Frame<'_>,
    attempts: &A,
    refusal: &Refusal,
) -> Option<Next> {
    let policy = attempts.policy()?;
    let (refusals, previous) = frame.refused_again();
    let (delay, longest) =
        policy.after_refusal(refusals, previous, refusal.retry_after, &mut frame.dice())?;
    frame.may_ask_again(delay, longest).then(|| frame.ask_again(delay, refusal))
}

/// Handles the end of an attempt, and returns the next state if another attempt follows.
pub(super) fn again<F, A: Invoke<F>>(
    frame: &mut Frame<'_>,
    attempts: &A,
    ended: &Ended<A::Value, A::Error>,
) -> Option<Next> {
    let error = match ended {
        Ok(_) => {
            succeeded(attempts);
            return None;
        }
        Err(Error::Run(error)) if error.pauses() => return None,
        Err(error) => error,
    };
    if let Error::Run(RunError::Timeout { after, .. }) = error {
        frame.timed_out(*after);
    }
    let policy = attempts.policy()?;
    let (attempt, previous, mut dice) = (frame.attempt(), frame.previous_delay(), frame.dice());
    let delay = match error {
        Error::Failed(error) => policy.after_failure(attempt, previous, error, &mut dice),
        Error::Run(error) => policy.after_run_error(attempt, previous, error, &mut dice),
    };
    let delay = delay.filter(|delay| frame.has_time_for(*delay))?;
    Some(frame.schedule(delay, policy.max_attempts(), error))
}

/// Notes the success of an attempt in the budget of its retry policy.
#[inline]
pub(super) fn succeeded<F, A: Invoke<F>>(attempts: &A) {
    if let Some(budget) = attempts.policy().and_then(Retry::shared_budget) {
        budget.succeeded();
    }
}

/// Sends the events of the outcome, and begins to record it. Returns `None` if the outcome is not recorded. If the
/// outcome cannot be recorded, the step fails, and this failure is recorded.
pub(super) fn record<F, A: Invoke<F>, R: Keep<A::Value, A::Error>>(
    frame: &mut Frame<'_>,
    attempts: &A,
    ended: &mut Ended<A::Value, A::Error>,
    committed: bool,
) -> Option<Recording> {
    if let Err(Error::Run(error)) = ended
        && frame.is_pause(error)
    {
        frame.paused(error);
        return None;
    }
    let encoded = if frame.failed_by_other_run() { None } else { R::encode(ended) };
    let encoded = encoded.map(|encoded| frame.fits(encoded));
    match (&*ended, &encoded) {
        (_, Some(Err(unkept))) => frame.failed(unkept, 1),
        (Ok(_), _) => frame.succeeded(),
        (Err(error), _) => frame.failed(error, attempts.policy().map_or(1, Retry::max_attempts)),
    }
    let recording = match encoded {
        None => return None,
        Some(Ok(outcome)) if committed && ended.is_ok() => {
            let (kind, bytes) = (outcome.kind(), outcome.payload().len());
            frame.committed(outcome);
            Ok(Some(Recording { writing: Box::pin(future::ready(Ok(()))), kind, bytes, instead: None }))
        }
        Some(Ok(outcome)) => Ok(frame.record(outcome, None)),
        Some(Err(unkept)) => frame.record_unkept(unkept).map(Some),
    };
    recording.unwrap_or_else(|error| {
        *ended = Err(Error::Run(error));
        None
    })
}

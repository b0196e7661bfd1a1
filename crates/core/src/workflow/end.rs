use std::fmt;

use super::keep::KeepRun;
use super::open::Hold;
use crate::clock::millis;
use crate::error::{FromStep, RunError};
use crate::event::EventKind;
use crate::journal::{EncodeError, Outcome, Payload, Status, Timestamp};
use crate::shared::{LOOK_AGAIN, Shared, Stop, Writer};
use crate::store::{Ending, StoreError};

/// The result of calling the body.
pub(super) enum Verdict<T, E> {
    /// The body returned a value.
    Completed(T),
    /// The body returned its own error.
    Failed(E),
    /// The body panicked.
    Panicked(RunError),
    /// The body returned an error because a step waits.
    Waiting(E),
    /// The body returned an error because the run was cancelled.
    Cancelled(E),
    /// The run cannot continue or was not allowed to begin, whatever the body returned. It can be resumed.
    Interrupted(RunError),
}

impl<T, E> Verdict<T, E> {
    /// Combines the result of the body with the reason why the run stopped. `cancelled` states whether the run was
    /// cancelled.
    ///
    /// A body that continues after a wait or a cancellation and returns a value has completed. A run never completes
    /// after a failure that may have lost a record. If a compensation waits, the run waits, even if it was cancelled,
    /// because the undo is unfinished. If a step failed before the cancellation, the run has failed.
    pub(super) fn of(result: Result<T, E>, stop: Stop, cancelled: bool) -> Self {
        let failed_before = !stop.failed_on.is_empty() && !stop.stale;
        let gave_up = !stop.stuck.is_empty();
        match (result, stop) {
            (_, Stop { fatal: Some(error), .. }) => Self::Interrupted(error),
            (Ok(value), _) => Self::Completed(value),
            (Err(error), stop) if stop.undo_waits() => Self::Waiting(error),
            (Err(error), stop) if stop.is_waiting() && !stop.cancelled => Self::Waiting(error),
            // A person has to look at the steps that could not be undone.
            (Err(error), _) if gave_up => Self::Failed(error),
            (Err(error), Stop { cancelled: true, .. }) => Self::Cancelled(error),
            (Err(error), _) if cancelled && !failed_before => Self::Cancelled(error),
            (Err(error), _) => Self::Failed(error),
        }
    }

    /// Converts a panic: the run has failed, unless it could not continue anyway, or the hook before the body panicked.
    pub(super) fn of_panic(message: &str, stop: Stop, begun: bool) -> Self {
        let panicked = RunError::Panicked { step: stop.panicked, message: message.into() };
        match stop.fatal {
            Some(error) => Self::Interrupted(error),
            None if begun => Self::Panicked(panicked),
            None => Self::Interrupted(panicked),
        }
    }

    /// Returns the verdict on a failed execution whose run is retried.
    pub(super) fn retried(self) -> Self
    where
        E: FromStep<RunError>,
    {
        match self {
            Self::Failed(error) => Self::Waiting(error),
            Self::Panicked(error) => Self::Waiting(E::from_step(error)),
            other => other,
        }
    }

    /// Returns the result for the caller.
    pub(super) fn into_result(self) -> Result<T, E>
    where
        E: FromStep<RunError>,
    {
        match self {
            Self::Completed(value) => Ok(value),
            Self::Failed(error) | Self::Waiting(error) | Self::Cancelled(error) => Err(error),
            Self::Panicked(error) | Self::Interrupted(error) => Err(E::from_step(error)),
        }
    }

    /// Returns the next status of the run, or `None` if the run stays as it is.
    const fn status(&self) -> Option<Status> {
        Some(match self {
            Self::Completed(_) => Status::Completed,
            Self::Failed(_) | Self::Panicked(_) => Status::Failed,
            Self::Waiting(_) => Status::Waiting,
            Self::Cancelled(_) => Status::Cancelled,
            Self::Interrupted(_) => return None,
        })
    }
}

/// Returns the end of the run for the store, or `None` if the run stays as it is, to be resumed.
pub(super) fn ending<X: KeepRun<T, E>, T, E: fmt::Display>(
    verdict: &Verdict<T, E>,
    shared: &Shared,
) -> Result<Option<Ending>, RunError> {
    let Some(status) = verdict.status() else {
        return Ok(None);
    };
    let (run, stop) = (shared.run_id(), shared.stopping.stop());
    let keep = |result| {
        X::encode(result, run).map(Some).map_err(|error: EncodeError| RunError::Unencodable {
            what: format!("the result of run `{run}`").into(),
            type_name: error.type_name,
            reason: error.reason,
        })
    };
    let (outcome, error) = match verdict {
        Verdict::Completed(value) => (keep(Ok(value))?, None),
        Verdict::Failed(error) => (keep(Err(error))?, Some(format!("{error:#}").into())),
        Verdict::Panicked(error) => (stopped(error), Some(error.to_string().into())),
        Verdict::Cancelled(error) => {
            let cancelled = RunError::Cancelled { step: stop.cancelled_at.clone() };
            let kept = X::encode_cancelled(error, &cancelled).ok().filter(fits);
            (kept.or_else(|| stopped(&cancelled)), None)
        }
        Verdict::Waiting(_) | Verdict::Interrupted(_) => (None, None),
    };
    if let Some(outcome) = outcome.as_ref().filter(|outcome| !fits(outcome)) {
        let what = format!("the result of run `{run}`").into();
        let (bytes, limit) = (outcome.payload().len(), Payload::MAX_BYTES);
        return Err(RunError::TooLarge { what, bytes, limit });
    }
    let cancelling = shared.stopping.knows_of_cancel();
    let (waits_on, wake) = match verdict {
        // A cancellation that the body has not seen yet is still due.
        Verdict::Waiting(_) if cancelling && !stop.undo_waits() => {
            (stop.waits_on(), Some(shared.time.stamp()))
        }
        Verdict::Waiting(_) => {
            let looks_again = || stop.other_run.then(|| shared.time.stamp().after(LOOK_AGAIN));
            (stop.waits_on(), stop.wake().or_else(looks_again))
        }
        _ => (Vec::new(), None),
    };
    let failed_on = match verdict {
        Verdict::Failed(_) => [stop.failed_on, stop.stuck].concat(),
        // Undone steps have no effect any more, so a retry begins them again.
        Verdict::Cancelled(_) => stop.undone,
        // If the body continued after a failure, a later panic is unrelated to it.
        Verdict::Panicked(_) if !stop.stale => [stop.failed_on, stop.stuck].concat(),
        Verdict::Panicked(_) => stop.stuck,
        _ => Vec::new(),
    };
    Ok(Some(Ending { status, outcome, error, failed_on, waits_on, wake, cancelling }))
}

/// Returns the end of a run whose result cannot be recorded. The run has failed, so that it is not executed again and
/// the error shows the reason.
pub(super) fn unkept(error: &RunError, shared: &Shared) -> Ending {
    let Stop { failed_on, stuck, .. } = shared.stopping.stop();
    let failed_on = [failed_on, stuck].concat();
    Ending {
        outcome: stopped(error),
        error: Some(error.to_string().into()),
        failed_on,
        ..Ending::new(Status::Failed)
    }
}

/// Lets an interrupted run wait until `wake`, so that its next execution, which may meet the reason again, does not
/// follow at once. If the store does not accept this, the lease is released or expires, and the run is due then.
pub(super) async fn rest(hold: &mut Hold, wake: Timestamp, cancelling: bool, reason: &RunError) {
    // Another owner executes the run, or the process stops.
    if matches!(reason, RunError::Store(StoreError::LeaseLost { .. } | StoreError::Closed)) {
        return;
    }
    let ending = Ending { wake: Some(wake), cancelling, ..Ending::new(Status::Waiting) };
    drop(leave(hold, ending).await);
}

/// Ends an execution that did not begin.
pub(super) async fn leave(hold: &mut Hold, ending: Ending) -> Result<(), RunError> {
    let Some(Writer { store, lease, .. }) = &hold.0 else { return Ok(()) };
    store.finish(lease, ending).await?;
    hold.0 = None;
    Ok(())
}

fn fits(outcome: &Outcome) -> bool {
    outcome.payload().len() <= Payload::MAX_BYTES
}

fn stopped(error: &RunError) -> Option<Outcome> {
    Payload::encode(error).map(Outcome::Stopped).ok()
}

/// Logs the end of the run, and sends it to the observers.
pub(super) fn tell<T, E: fmt::Display>(shared: &Shared, verdict: &Verdict<T, E>) {
    let (run, duration) = (shared.run_id(), shared.time.elapsed());
    let duration_ms = millis(duration);
    match verdict {
        Verdict::Completed(_) => tracing::info!(run, duration_ms, "the run completed"),
        Verdict::Failed(error) => tracing::info!(run, duration_ms, %error, "the run failed"),
        Verdict::Panicked(error) => tracing::error!(run, duration_ms, %error, "the run panicked"),
        Verdict::Waiting(_) => tracing::info!(run, duration_ms, "the run waits"),
        Verdict::Cancelled(_) => tracing::info!(run, duration_ms, "the run was cancelled"),
        Verdict::Interrupted(error) => {
            tracing::warn!(run, duration_ms, %error, "the run was interrupted");
        }
    }
    shared.end(|| match verdict {
        Verdict::Completed(_) => EventKind::RunSucceeded { duration },
        Verdict::Failed(error) => EventKind::RunFailed { duration, error: error.to_string() },
        Verdict::Panicked(error) => EventKind::RunFailed { duration, error: error.to_string() },
        Verdict::Waiting(_) => EventKind::RunWaiting { duration },
        Verdict::Cancelled(_) => EventKind::RunCancelled { duration },
        Verdict::Interrupted(error) => EventKind::RunInterrupted { duration, error: error.to_string() },
    });
}

/// Sends the end of a run without a journal to the observers.
pub(super) fn tell_result<T, E: fmt::Display>(shared: &Shared, result: &Result<T, E>) {
    let duration = shared.time.elapsed();
    shared.end(|| match result {
        Ok(_) => EventKind::RunSucceeded { duration },
        Err(_) if shared.stopping.stop().cancelled => EventKind::RunCancelled { duration },
        Err(error) => EventKind::RunFailed { duration, error: error.to_string() },
    });
}

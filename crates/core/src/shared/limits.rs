//! The limits that end a run from outside: its cancellation and its deadline.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::Shared;
use crate::error::{Limit, RunError};
use crate::journal::Key;

impl Shared {
    /// Returns the error that ends the run at `step`, if the run is cancelled or its time is over. `attempt` is the
    /// attempt in flight, or 0 if none has begun.
    pub(crate) fn ended(&self, step: &Key, attempt: u32) -> Option<RunError> {
        if self.stopping.is_cancelled() {
            return Some(RunError::Cancelled { step: Some(step.clone()) });
        }
        let after = self.time.over()?;
        Some(RunError::Timeout { step: step.clone(), attempt, after, limit: Limit::Run })
    }

    /// Refuses a step if the run was cancelled or its time is over.
    pub(crate) fn may_begin(&self, key: &Key) -> Result<(), RunError> {
        self.ended(key, 0).map_or(Ok(()), Err)
    }

    /// Refuses an unrecorded step if the execution may use only recorded ones.
    pub(crate) fn may_go_beyond(&self, key: &Key) -> Result<(), RunError> {
        if self.execution.is_only_recorded() {
            return Err(RunError::Cancelled { step: Some(key.clone()) });
        }
        if self.stopping.is_to_be_cancelled() {
            self.stopping.cancel();
            return self.may_begin(key);
        }
        Ok(())
    }

    /// Waits for a hook until the run is cancelled or its deadline passes. Returns `None` if the run was cancelled.
    pub(crate) async fn within_limits<T>(
        &self,
        hook: impl Future<Output = T>,
    ) -> Result<Option<T>, RunError> {
        let deadline = self.time.deadline();
        let mut hook = pin!(hook);
        let mut over = deadline.map(|(at, _)| self.time.clock().sleep_until(at));
        let token = self.stopping.live_token();
        let mut cancelled = token.map(|token| Box::pin(token.clone().cancelled_owned()));
        poll_fn(|cx| {
            if let Poll::Ready(answer) = hook.as_mut().poll(cx) {
                return Poll::Ready(Ok(Some(answer)));
            }
            if cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Ok(None));
            }
            match (&mut over, deadline) {
                (Some(over), Some((_, after))) => over.as_mut().poll(cx).map(|()| {
                    let step = self.run_id().to_owned().into();
                    Err(RunError::Timeout { step, attempt: 0, after, limit: Limit::Run })
                }),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

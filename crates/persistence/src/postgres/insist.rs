//! The one retry loop, for lost connections, locks and outages.

use awaitly_core::store::StoreError;

use super::error::{Reason, store_error};
use super::patience::Pause;
use super::schema::Failure;

/// Work that may need several attempts.
pub(super) trait Attempts: Send {
    type Done: Send;

    /// Makes one attempt.
    fn attempt(&mut self) -> impl Future<Output = Result<Self::Done, Failure>> + Send;

    /// Returns `true` if an attempt after `pause` is too late for all of the work. Work with several parts gives up the
    /// late parts, with `error`.
    fn is_over_after(&mut self, pause: Pause, error: &StoreError) -> bool;
}

/// Makes attempts until the work is done or refused, an error is lasting, or the patience ends.
pub(super) async fn insist<W: Attempts>(mut work: W) -> Result<W::Done, StoreError> {
    let mut pause = Pause::new();
    loop {
        // The box keeps the callers' futures shallow: the compiler refuses types that nest deeper than 128 levels.
        let error = match Box::pin(work.attempt()).await {
            Ok(done) => return Ok(done),
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Postgres(error)) => error,
        };
        let refusal = store_error(&error);
        if Reason::of(&error) != Reason::Passing || work.is_over_after(pause, &refusal) {
            return Err(refusal);
        }
        tracing::warn!(error = %refusal, "trying again");
        pause.wait().await;
    }
}

//! The one loop that tries again: after a lost connection, a lock or an outage.

use awaitly_core::store::StoreError;

use super::error::{Reason, store_error};
use super::patience::Pause;
use super::schema::Failure;

/// Work that may need several tries.
pub(super) trait Attempts: Send {
    type Done: Send;

    /// Tries once.
    fn attempt(&mut self) -> impl Future<Output = Result<Self::Done, Failure>> + Send;

    /// Returns whether another try after `pause` is too late, for all of the work. Work with parts gives up those parts for
    /// which it is too late, because of `error`.
    fn is_over_after(&mut self, pause: Pause, error: &StoreError) -> bool;
}

/// Tries until the work is done or refused, until an error comes that lasts, or until patience ends.
pub(super) async fn insist<W: Attempts>(mut work: W) -> Result<W::Done, StoreError> {
    let mut pause = Pause::new();
    loop {
        // The box keeps the futures of callers shallow: the compiler refuses types that nest deeper than 128 levels.
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

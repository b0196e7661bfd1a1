//! Retries of whole runs.

use std::time::Duration;

use crate::clock::millis;
use crate::journal::{Key, Outcome, Record, Retrying, Status, Timestamp};
use crate::retry::Retry;
use crate::shared::Shared;
use crate::store::{AnyStore, Durability, Ending, Lease, StoreError, StoredRun};

/// Returns the count of failed executions and the time of the next one, if a run that ends so is retried.
pub(super) fn next(retry: &Retry, ending: &Ending, shared: &Shared) -> Option<Retrying> {
    // A request to cancel the run ends the retries, even if the body did not notice it.
    if ending.status != Status::Failed || ending.cancelling {
        return None;
    }
    let now = shared.time.stamp();
    let earlier = shared.keys.peek(&Key::RUN_RETRIES).as_ref().and_then(Outcome::as_retrying);
    // An earlier execution died after it had counted this failure, which the journal has repeated now. A step that fails
    // again has a new record, because the start of a retry drops the old one.
    let failed_on = &ending.failed_on;
    if !failed_on.is_empty() && shared.keys.is_recorded_after(&Key::RUN_RETRIES, failed_on) {
        return earlier;
    }
    let attempts = earlier.map_or(0, |earlier| earlier.attempts).saturating_add(1);
    let previous = Duration::from_millis(earlier.map_or(0, |earlier| earlier.delay_ms));
    let delay =
        retry.after_failure(attempts, previous, &(), &mut shared.dice(&Key::RUN_RETRIES, attempts))?;
    let since = earlier.map_or(now, |earlier| earlier.since);
    Some(Retrying { attempts, delay_ms: millis(delay), until: now.after(delay), since })
}

/// Returns the end of an execution that must not begin yet: the run waits for its next attempt, and a message, an answer
/// or the end of a child woke it before that. The run waits on, as it was.
pub(super) fn too_early(run: &StoredRun, now: Timestamp) -> Option<Ending> {
    let header = &run.header;
    if header.status != Status::Waiting || header.cancel_requested {
        return None;
    }
    let retries = run.records.iter().find(|record| record.key == Key::RUN_RETRIES)?;
    let until = retries.outcome.as_retrying()?.until;
    (now < until).then(|| Ending {
        error: header.error.clone(),
        failed_on: header.failed_on.clone(),
        wake: Some(until),
        ..Ending::new(Status::Waiting)
    })
}

/// Records the count.
pub(super) async fn count(store: &AnyStore, lease: &Lease, retrying: Retrying) -> Result<(), StoreError> {
    let record = Record { key: Key::RUN_RETRIES, outcome: retrying.into_outcome(), input: None };
    store.replace(lease, record, Durability::Sync).await
}

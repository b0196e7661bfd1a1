//! Retries of whole runs.

use std::time::Duration;

use crate::clock::millis;
use crate::journal::{Key, Outcome, Record, Retrying, Status};
use crate::retry::Retry;
use crate::shared::Shared;
use crate::store::{AnyStore, Durability, Ending, Lease, StoreError};

/// Returns the count of failed executions and the time of the next one, if a run that ends so is retried.
pub(super) fn next(retry: &Retry, ending: &Ending, shared: &Shared) -> Option<Retrying> {
    if ending.status != Status::Failed {
        return None;
    }
    let now = shared.time.stamp();
    let earlier = shared.keys.peek(&Key::RUN_RETRIES).as_ref().and_then(Outcome::as_retrying);
    let attempts = earlier.map_or(0, |earlier| earlier.attempts).saturating_add(1);
    let previous = Duration::from_millis(earlier.map_or(0, |earlier| earlier.delay_ms));
    let delay =
        retry.after_failure(attempts, previous, &(), &mut shared.dice(&Key::RUN_RETRIES, attempts))?;
    let since = earlier.map_or(now, |earlier| earlier.since);
    Some(Retrying { attempts, delay_ms: millis(delay), until: now.after(delay), since })
}

/// Records the count.
pub(super) async fn count(store: &AnyStore, lease: &Lease, retrying: Retrying) -> Result<(), StoreError> {
    let record = Record { key: Key::RUN_RETRIES, outcome: retrying.into_outcome(), input: None };
    store.replace(lease, record, Durability::Sync).await
}

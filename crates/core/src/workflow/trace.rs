//! The trace in which a run began. The journal keeps it for the traces of later executions.

use crate::error::RunError;
use crate::journal::{Key, Outcome, Payload, Record};
use crate::shared::Shared;
use crate::store::{Durability, OnRecorded};

/// Returns the context of the current span, in the form of a `traceparent` header.
pub(super) type CurrentTrace = dyn Fn() -> Option<String> + Send + Sync;

const KEY: Key = Key::from_static("trace");

/// Returns the trace in which the run began, if an earlier execution recorded it.
pub(super) fn recorded(run: &Shared) -> Option<String> {
    run.keys.peek(&KEY)?.payload().decode().ok()
}

/// Records the current trace, unless an earlier execution did.
pub(super) async fn keep(run: &Shared, current: &CurrentTrace) -> Result<(), RunError> {
    let _ = run.keys.take_key(KEY, true);
    if run.keys.recall(&KEY).is_some() {
        return Ok(());
    }
    // A text always has a JSON form.
    let Some(Ok(payload)) = current().map(|trace| Payload::encode(&trace)) else { return Ok(()) };
    let record = Record { key: KEY, outcome: Outcome::Value(payload), input: None };
    let written = run.journal.write(record, OnRecorded::Refuse, Some(Durability::Batched)).await;
    written.map_err(|error| run.stopping.stopped(error.into()))
}

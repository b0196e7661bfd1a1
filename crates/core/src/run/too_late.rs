//! The declaration that it is too late to cancel a run.
//!
//! The declaration is an ordinary record, so every store can check its key before it accepts a request to cancel the
//! run. A request may arrive at that very moment. The run therefore renews its lease after the write: a request from
//! before the record is still valid, and the store refuses a later one.

use crate::error::RunError;
use crate::journal::{Key, Outcome, Payload, Record, Taken};
use crate::shared::Shared;
use crate::store::OnRecorded;

pub(super) async fn declare(run: &Shared) -> Result<(), RunError> {
    run.stopping.may_go_on()?;
    if run.stopping.is_too_late_to_cancel() {
        return Ok(());
    }
    let declared = declare_once(run).await;
    declared.inspect_err(|error| run.stopping.note_pause(error))
}

async fn declare_once(run: &Shared) -> Result<(), RunError> {
    let key = Key::TOO_LATE_TO_CANCEL;
    if let Taken::Duplicate(key) = run.keys.take_key(key.clone(), true) {
        return Err(run.stopping.stopped(RunError::DuplicateKey { key }));
    }
    if run.keys.recall(&key).is_none() {
        run.may_begin(&key)?;
        run.may_go_beyond(&key)?;
        record(run, &key).await?;
    } else if run.stopping.is_to_be_cancelled() {
        // The store refuses requests after the record, so this request came before it.
        return Ok(());
    }
    run.stopping.close_to_cancel();
    Ok(())
}

async fn record(run: &Shared, key: &Key) -> Result<(), RunError> {
    let outcome = Outcome::Value(Payload::from_stored("null"));
    let record = Record { key: key.clone(), outcome, input: None };
    let written = run.journal.write(record, OnRecorded::Refuse, None).await;
    written.map_err(|error| run.stopping.stopped(error.into()))?;
    let Some(writer) = run.journal.writer() else { return Ok(()) };
    let renewed = writer.renew().await;
    run.renewed(renewed.map_err(|error| run.stopping.stopped(error.into()))?);
    run.may_begin(key)
}

//! What a crate needs that asks people, as `awaitly-hitl` does. Not for use by hand, and free to change.

use super::DurableRun;
use crate::error::RunError;
use crate::journal::{Key, Outcome, Payload, Record, Settling, Timestamp, WaitEntry};
use crate::shared::Writer;
use crate::wait::WaitFor;

/// Takes `name` for several questions, whose keys begin with what comes back.
#[must_use]
pub fn base(run: &DurableRun, name: &Key) -> Key {
    run.take_base(name)
}

/// Says what is recorded of an answer that a test gives.
pub const fn wrapped<T>(question: WaitFor<'_, T>, wrap: fn(Payload, Timestamp) -> Payload) -> WaitFor<'_, T> {
    question.wrapped(wrap)
}

/// What a question waits under.
#[must_use]
pub fn key_of<T>(question: &WaitFor<'_, T>) -> Key {
    question.frame().label().clone()
}

/// Whether the journal holds an answer to a question.
#[must_use]
pub fn is_answered<T>(question: &WaitFor<'_, T>) -> bool {
    question.frame().is_known()
}

/// The entry that waits under `key`, so far as this execution knows.
#[must_use]
pub fn entry(run: &DurableRun, key: &Key) -> Option<WaitEntry> {
    run.shared()?.journal.wait_entry(key)
}

/// What time it is, by the store's clock.
#[must_use]
pub fn time(run: &DurableRun) -> Timestamp {
    let now = || Timestamp::from(std::time::SystemTime::now());
    run.shared().map_or_else(now, |shared| shared.time.stamp())
}

/// Lets a run that waits for an answer under `key` be resumed at this moment without one.
pub fn wake_at(run: &DurableRun, key: &Key, moment: Timestamp) {
    if let Some(shared) = run.shared() {
        shared.stopping.wake_at(key, moment);
    }
}

/// A retry of the run is to drop the answer under `key`, and ask again.
pub fn ask_again(run: &DurableRun, key: &Key) {
    if let Some(shared) = run.shared() {
        shared.stopping.note_failure(Some(key));
    }
}

/// Takes a question back, which then ended in `reason`; unless it was answered, or never asked.
///
/// # Errors
/// [`RunError::Store`] where the store fails, which stops the run.
pub async fn withdraw(run: &DurableRun, key: Key, reason: &RunError) -> Result<(), RunError> {
    let Some((shared, Writer { store, lease, .. })) =
        run.shared().and_then(|shared| Some((shared, shared.journal.writer()?)))
    else {
        return Ok(());
    };
    if shared.journal.wait_entry(&key).is_none() {
        return Ok(());
    }
    // An error always has a JSON form.
    let reason = Payload::encode(reason).unwrap_or_else(|_| Payload::from_stored("null"));
    let record = Record { key, outcome: Outcome::Stopped(reason), input: None };
    match store.settle(lease, record, Settling::Withdraw).await {
        Ok(_) => Ok(()),
        Err(error) => Err(shared.stopping.stopped(error.into())),
    }
}

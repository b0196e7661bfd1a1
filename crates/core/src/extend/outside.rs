//! Questions to people, for `awaitly-hitl`: access to a [`WaitFor`] and its entry in the store.

use crate::error::RunError;
use crate::journal::{Key, Outcome, Payload, Record, Settling, Timestamp, WaitEntry};
use crate::run::DurableRun;
use crate::shared::Writer;
pub use crate::step::outside::{Errand, Fetch};
use crate::store::{Input, Lease, StoreError};
use crate::wait::WaitFor;

/// Sets a function that turns the answer of a test's [`Stage`](super::stage::Stage) and the moment of the answer into
/// the payload to record.
pub fn wrapped<T>(question: WaitFor<'_, T>, wrap: fn(Payload, Timestamp) -> Payload) -> WaitFor<'_, T> {
    question.wrapped(wrap)
}

/// Sets the work that belongs to a question.
pub fn with_errand<T>(question: WaitFor<'_, T>, errand: Errand) -> WaitFor<'_, T> {
    question.with_errand(errand)
}

/// Asks a question, and returns its recorded outcome. An outcome that is not a value is a failure of the step, so a retry
/// of the run asks again.
///
/// # Errors
/// As awaiting the question, except for the errors that the answer contains.
pub fn outcome<'r, T>(
    question: WaitFor<'r, T>,
) -> impl Future<Output = Result<Outcome, RunError>> + Send + 'r {
    question.into_outcome()
}

/// Returns the lease of the run, if it has a store.
#[must_use]
pub fn lease(run: &DurableRun) -> Option<Lease> {
    run.shared()?.journal.writer().map(|writer| writer.lease.clone())
}

/// Stops the run, so that it starts again with this input and a fresh journal, and returns
/// [`RunError::Restarting`]. The body has to return this error.
#[must_use]
pub fn restart(run: &DurableRun, input: Input) -> RunError {
    match run.shared() {
        Some(shared) => shared.restart(input),
        None => RunError::Restarting,
    }
}

/// Returns the number of times that the run was restarted with a fresh journal.
#[must_use]
pub fn restarts(run: &DurableRun) -> u32 {
    run.shared().map_or(0, |shared| shared.restarts)
}

/// Stops the run with an error after which it cannot continue, and returns the error.
#[must_use]
pub fn stop(run: &DurableRun, error: RunError) -> RunError {
    match run.shared() {
        Some(shared) => shared.stopping.stopped(error),
        None => error,
    }
}

/// Returns the key under which a question waits.
#[must_use]
pub fn key_of<T>(question: &WaitFor<'_, T>) -> Key {
    question.frame().label().clone()
}

/// Returns whether the journal holds an answer to a question.
#[must_use]
pub fn is_answered<T>(question: &WaitFor<'_, T>) -> bool {
    question.frame().is_known()
}

/// Returns the entry that waits under `key`, as far as this execution knows.
#[must_use]
pub fn entry(run: &DurableRun, key: &Key) -> Option<WaitEntry> {
    run.shared()?.journal.wait_entry(key)
}

/// Returns all entries that wait for an answer, as far as this execution knows.
#[must_use]
pub fn entries(run: &DurableRun) -> Vec<WaitEntry> {
    run.shared().map(|shared| shared.journal.wait_entries()).unwrap_or_default()
}

/// Returns whether this execution knows of a request to cancel the run. The body may not have met it yet.
#[must_use]
pub fn is_to_be_cancelled(run: &DurableRun) -> bool {
    run.shared().is_some_and(|shared| shared.stopping.knows_of_cancel())
}

/// Returns whether a compensation asks the question, so that a cancellation of the run does not end its wait.
#[must_use]
pub fn is_shielded<T>(question: &WaitFor<'_, T>) -> bool {
    question.frame().is_shielded()
}

/// Renews the lease of the run, if it has a store, to find out whether the execution still holds it.
///
/// # Errors
/// The future fails with [`StoreError::LeaseLost`] if another worker has taken the run over.
pub fn renew(run: &DurableRun) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
    let writer = run.shared().and_then(|shared| shared.journal.writer().cloned());
    async move {
        match writer {
            Some(writer) => writer.renew().await.map(drop),
            None => Ok(()),
        }
    }
}

/// Returns the time by the store's clock.
#[must_use]
pub fn time(run: &DurableRun) -> Timestamp {
    let now = || Timestamp::from(std::time::SystemTime::now());
    run.shared().map_or_else(now, |shared| shared.time.stamp())
}

/// Sets the moment at which a run that waits under `key` resumes without an answer.
pub fn wake_at(run: &DurableRun, key: &Key, moment: Timestamp) {
    if let Some(shared) = run.shared() {
        shared.stopping.wake_at(key, moment);
    }
}

/// Makes a retry of the run drop the answer under `key` and ask again.
pub fn ask_again(run: &DurableRun, key: &Key) {
    if let Some(shared) = run.shared() {
        shared.stopping.note_failure(Some(key));
    }
}

/// Withdraws the question under `key`. The journal then holds `reason` as the outcome of the question. Does nothing if
/// the question was answered or never asked.
///
/// # Errors
/// Returns [`RunError::Store`] if the store fails. This stops the run.
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

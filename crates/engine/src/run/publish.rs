use std::fmt;
use std::sync::Arc;

use awaitly_core::extend::outside;
use awaitly_core::journal::{EncodeError, Key, Payload};
use awaitly_core::store::{Publish, StoreError};
use awaitly_core::{DurableRun, RunError};
use serde::Serialize;

use super::office_of;

pub(super) async fn value<V: Serialize + ?Sized>(
    run: &DurableRun,
    name: &str,
    value: &V,
) -> Result<(), RunError> {
    let payload = encoded(name, value)?;
    publish(run, name, Publish::value(name, payload)).await
}

/// A stream of a run: a durable list to which the run appends, and which clients read and follow.
/// [`RunExt::stream`](super::RunExt::stream) returns it.
///
/// A stream has at most [`Publish::MOST`] items of at most [`Publish::MAX_BYTES`] bytes.
///
/// # Resume
/// The n-th item that an execution appends is the n-th item of the stream. So a resumed run appends its first items
/// again, and the store ignores them. Therefore create the handle of a stream once, at the beginning of the body, and
/// append in a fixed order. Do not append from concurrent branches.
///
/// # Examples
/// ```
/// use awaitly_core::{DurableRun, RunError};
/// use awaitly_engine::RunExt;
///
/// async fn import(run: DurableRun, rows: Vec<String>) -> Result<usize, RunError> {
///     let mut log = run.stream("log");
///     for row in &rows {
///         log.append(&format!("imported {row}")).await?;
///     }
///     Ok(rows.len())
/// }
/// ```
pub struct RunStream<'r> {
    run: &'r DurableRun,
    name: Arc<str>,
    /// The number of items that this execution has appended.
    appended: u64,
}

impl<'r> RunStream<'r> {
    pub(super) const fn new(run: &'r DurableRun, name: Arc<str>) -> Self {
        Self { run, name, appended: 0 }
    }

    /// Appends an item. The item is durable when the call returns.
    ///
    /// # Errors
    /// Returns [`RunError::NoWorker`] if no worker executes the run, [`RunError::Unencodable`] if the item has no JSON
    /// form, and [`RunError::Store`] if the store fails or refuses the item, because it is too large or the stream is
    /// full.
    ///
    /// # Cancel safety
    /// If the future is dropped, the item may or may not be appended. After that, do not append another item with this
    /// handle.
    pub async fn append<V: Serialize + ?Sized>(&mut self, item: &V) -> Result<(), RunError> {
        let payload = encoded(&self.name, item)?;
        let item = Publish::item(Arc::clone(&self.name), self.appended, payload);
        publish(self.run, &self.name, item).await?;
        self.appended += 1;
        Ok(())
    }
}

async fn publish(run: &DurableRun, name: &str, one: Publish) -> Result<(), RunError> {
    let step = Key::from(name.to_owned());
    let office = office_of(run, &step)?;
    let lease = outside::lease(run).ok_or_else(|| outside::stop(run, RunError::NoWorker { step }))?;
    office.publish(lease, vec![one]).await.map_err(|error| match error {
        // The store refuses such a value in each execution.
        StoreError::Unstorable { .. } => RunError::Store(error),
        _ => outside::stop(run, RunError::Store(error)),
    })
}

fn encoded<V: Serialize + ?Sized>(name: &str, value: &V) -> Result<Payload, RunError> {
    Payload::encode(value).map_err(|EncodeError { type_name, reason, .. }| RunError::Unencodable {
        what: format!("the published value `{name}`").into(),
        type_name,
        reason,
    })
}

impl fmt::Debug for RunStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunStream")
            .field("name", &self.name)
            .field("appended", &self.appended)
            .finish_non_exhaustive()
    }
}

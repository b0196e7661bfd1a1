use awaitly_core::journal::{EncodeError, Header, Key, Outcome, Payload, Record, Status};
use awaitly_core::store::{Operate, RunId, StoredRun};

use super::OperateError;
use serde::Serialize;

/// A new run that begins with the recorded steps of an old run, and has the workflow, version and input of the old run.
///
/// The fork finds recorded outcomes like a resumed run, including errors. Therefore, without [`up_to`](Self::up_to),
/// the fork of a failed run fails again at the step that failed, with the recorded failure. Questions that wait for an
/// answer are not copied: the fork asks again.
///
/// Idempotency keys contain the run id, and the fork has a new run id. If the fork repeats a step, the service
/// therefore sees a new call and carries it out again.
///
/// ```
/// use awaitly_core::store::RunId;
/// use awaitly_persistence::operate::Fork;
///
/// # fn fork() -> Result<(), Box<dyn std::error::Error>> {
/// // As if `quote` had been 4200, and nothing had happened after it.
/// let fork = Fork::new(RunId::new("order-42-again")?).up_to("quote").edit("quote", &4200)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Fork {
    run: RunId,
    up_to: Option<Key>,
    edits: Vec<(Key, Payload)>,
}

impl Fork {
    /// Creates a fork whose run id is `run`, with all recorded steps of the old run. Pass the id of the old run to
    /// [`OperateExt::fork`](super::OperateExt::fork).
    pub const fn new(run: RunId) -> Self {
        Self { run, up_to: None, edits: Vec::new() }
    }

    /// Keeps only the steps that were recorded up to and including the step with this key.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::{RunId, Store};
    /// use awaitly_persistence::MemoryStore;
    /// use awaitly_persistence::operate::{Fork, OperateError, OperateExt};
    /// # use awaitly_core::{DurableRun, RunError, Workflow, step};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let body = async |run: &DurableRun| {
    /// #     step!(run, "quote", async { Ok::<u32, RunError>(4000) });
    /// #     Ok::<u32, RunError>(step!(run, "charge", async { Ok::<u32, RunError>(7) }))
    /// # };
    /// # Workflow::new("checkout").store(store.clone()).run("order-42", body).await?;
    /// let (order, again) = (RunId::new("order-42")?, RunId::new("order-42-again")?);
    /// store.fork(&order, Fork::new(again.clone()).up_to("quote")).await?;
    /// let forked = store.load(&again).await?.ok_or("no such run")?;
    /// assert_eq!(forked.records.len(), 1, "the fork charges again");
    ///
    /// let unknown = store.fork(&order, Fork::new(RunId::new("other")?).up_to("ship")).await;
    /// assert_eq!(unknown, Err(OperateError::NoSuchKey { key: "ship".into() }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn up_to(mut self, key: impl Into<Key>) -> Self {
        self.up_to = Some(key.into());
        self
    }

    /// Replaces the outcome recorded under `key` with `value`, even if the outcome is an error. The fingerprint of the
    /// step's input stays, so the value applies to the input that the step had. If no outcome is recorded under `key`,
    /// [`OperateExt::fork`](super::OperateExt::fork) returns [`OperateError::NoSuchKey`].
    ///
    /// # Errors
    /// Returns [`EncodeError`] if the value has no JSON form.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::RunId;
    /// use awaitly_persistence::operate::Fork;
    ///
    /// # fn fork() -> Result<(), Box<dyn std::error::Error>> {
    /// // The fork of a failed run succeeds at `charge`, and continues after it.
    /// let fork = Fork::new(RunId::new("order-42-paid")?).edit("charge", "ch_7")?;
    /// # Ok(())
    /// # }
    /// # fork().unwrap();
    /// ```
    pub fn edit<T: Serialize + ?Sized>(
        mut self,
        key: impl Into<Key>,
        value: &T,
    ) -> Result<Self, EncodeError> {
        self.edits.push((key.into(), Payload::encode(value)?));
        Ok(self)
    }
}

pub(super) async fn fork<S: Operate + ?Sized>(
    store: &S,
    run: &RunId,
    fork: Fork,
) -> Result<(), OperateError> {
    let StoredRun { header, input, records, .. } = store.load(run).await?.ok_or(OperateError::NoSuchRun)?;
    let records = fork.records(records)?;
    let mut begun = Header::new(header.workflow, header.version, Status::Running, store.now().await?);
    begun.input = header.input;
    let forked = StoredRun { header: begun, input, records, waits: Vec::new() };
    match store.import(fork.run, forked).await? {
        true => Ok(()),
        false => Err(OperateError::Exists),
    }
}

impl Fork {
    /// Returns the records of the new run, derived from the records of the old run.
    fn records(&self, mut records: Vec<Record>) -> Result<Vec<Record>, OperateError> {
        let place = |records: &[Record], key: &Key| {
            let place = records.iter().position(|record| record.key == *key);
            place.ok_or_else(|| OperateError::NoSuchKey { key: key.clone() })
        };
        if let Some(key) = &self.up_to {
            let last = place(&records, key)?;
            records.truncate(last + 1);
        }
        for (key, value) in &self.edits {
            let edited = place(&records, key)?;
            if let Some(record) = records.get_mut(edited) {
                record.outcome = Outcome::Value(value.clone());
            }
        }
        Ok(records)
    }
}

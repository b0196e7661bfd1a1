use awaitly_core::journal::{EncodeError, Header, Key, Outcome, Payload, Record, Status};
use awaitly_core::store::{Imported, Operate, RunId, StoreError, StoredRun};
use serde::Serialize;

/// A new run that begins with recorded steps of another one, and with its workflow, version and input.
///
/// What was recorded of a step is found by the fork as by a resumed run, errors too. So without
/// [`up_to`](Self::up_to) the fork of a run that failed meets the recorded failure again, at the same step. Questions
/// that wait for an answer are not taken over: the fork asks anew.
///
/// Idempotency keys contain the run id, and that of a fork is another one. So a service sees a step that the fork
/// repeats as a new call, and does it once more.
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
    /// A run of that run id, with all recorded steps of the other one.
    pub const fn new(run: RunId) -> Self {
        Self { run, up_to: None, edits: Vec::new() }
    }

    /// Only the steps that were recorded up to the one with this key, and that one too.
    pub fn up_to(mut self, key: impl Into<Key>) -> Self {
        self.up_to = Some(key.into());
        self
    }

    /// Puts another value in the place of what is recorded under `key`, also where that is an error. The fingerprint of
    /// the step's input stays, so the value counts for the input that the step had.
    ///
    /// # Errors
    /// [`EncodeError`] where the value has no JSON form.
    pub fn edit<T: Serialize + ?Sized>(
        mut self,
        key: impl Into<Key>,
        value: &T,
    ) -> Result<Self, EncodeError> {
        self.edits.push((key.into(), Payload::encode(value)?));
        Ok(self)
    }
}

/// Why a run was not forked. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// There is no such run.
    #[error("there is no such run: check the run id")]
    NoSuchRun,
    /// The journal holds nothing under this key, or nothing that is kept.
    #[error(
        "no outcome is recorded under the key `{key}`, as far as the fork goes: export the run to see its keys"
    )]
    NoSuchKey {
        /// The key.
        key: Key,
    },
    /// The new run id is taken.
    #[error("there is a run with the new run id already: choose another one")]
    Exists,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) async fn fork<S: Operate + ?Sized>(store: &S, run: &RunId, fork: Fork) -> Result<(), ForkError> {
    let StoredRun { header, input, records, .. } = store.load(run).await?.ok_or(ForkError::NoSuchRun)?;
    let records = fork.records(records)?;
    let mut begun = Header::new(header.workflow, header.version, Status::Running, store.now().await?);
    begun.input = header.input;
    let forked = StoredRun { header: begun, input, records, waits: Vec::new() };
    match store.import(fork.run, forked).await? {
        Imported::Added => Ok(()),
        Imported::Exists => Err(ForkError::Exists),
    }
}

impl Fork {
    /// What is recorded of the new run, out of what is recorded of the old.
    fn records(&self, mut records: Vec<Record>) -> Result<Vec<Record>, ForkError> {
        let place = |records: &[Record], key: &Key| {
            let place = records.iter().position(|record| record.key == *key);
            place.ok_or_else(|| ForkError::NoSuchKey { key: key.clone() })
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

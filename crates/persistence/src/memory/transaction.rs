use std::collections::BTreeMap;

use awaitly_core::journal::{Payload, Record};
use awaitly_core::store::{Lease, OnRecorded, StoreError, Transactional};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MemoryStore;

/// A transaction of a [`MemoryStore`]. In a test, it takes the place of a database transaction, so that a crash test
/// can check which writes of a transactional step survive the simulated death of a process.
///
/// The transaction writes JSON values into the store, beside the journals, under names that the caller chooses. A read
/// returns committed values and the values that this transaction wrote. Transactions do not wait for each other: if two
/// transactions write under one name, the last commit wins. Dropping a transaction discards its writes.
///
/// ```
/// use awaitly_core::{DurableRun, RunError, Workflow, step};
/// use awaitly_core::store::Tx;
/// use awaitly_persistence::{MemoryStore, MemoryTransaction};
///
/// async fn debit(mut tx: Tx<MemoryTransaction>, cents: u64) -> Result<u64, RunError> {
///     let balance: u64 = tx.get("balance").unwrap_or(10_000);
///     tx.put("balance", &(balance - cents));
///     Ok(balance - cents)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryStore::new();
/// let body = async |run: &DurableRun| {
///     Ok::<u64, RunError>(step!(run, "debit", transaction = &store, |tx| debit(tx, 4200)))
/// };
/// let paid = Workflow::new("pay").store(store.clone()).run("order-42", body).await;
/// assert_eq!((paid, store.get("balance")), (Ok(5800), Some(5800)));
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryTransaction {
    store: MemoryStore,
    written: BTreeMap<String, Option<Payload>>,
}

impl MemoryTransaction {
    /// Returns the value under `name`, or `None` if it does not exist or is not a `T`.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        match self.written.get(name) {
            Some(written) => written.as_ref()?.decode().ok(),
            None => self.store.get(name),
        }
    }

    /// Writes `value` under `name` when the transaction commits. If `value` has no JSON form, the commit removes the
    /// value under `name`, as [`remove`](Self::remove) does.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: impl Into<String>, value: &T) {
        self.written.insert(name.into(), Payload::encode(value).ok());
    }

    /// Removes the value under `name`. The removal takes effect when the transaction commits.
    pub fn remove(&mut self, name: impl Into<String>) {
        self.written.insert(name.into(), None);
    }
}

impl MemoryStore {
    /// Returns the value that a transaction committed under `name`, or `None` if it does not exist or is not a `T`.
    ///
    /// # Examples
    /// ```
    /// use awaitly_core::store::Transactional;
    /// use awaitly_persistence::MemoryStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let mut transaction = store.begin().await?;
    /// transaction.put("balance", &10_000);
    /// assert_eq!(transaction.get("balance"), Some(10_000));
    ///
    /// drop(transaction);
    /// assert_eq!(store.get::<u64>("balance"), None, "it was not committed");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.journals().table.get(name)?.decode().ok()
    }
}

impl Transactional for MemoryStore {
    type Transaction = MemoryTransaction;

    async fn begin(&self) -> Result<MemoryTransaction, StoreError> {
        self.lock().map(|_| MemoryTransaction { store: self.clone(), written: BTreeMap::new() })
    }

    async fn commit(
        &self,
        transaction: MemoryTransaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        let mut journals = self.lock()?;
        let journal = journals.held(lease)?;
        journal.record(record, on_recorded)?;
        for (name, value) in transaction.written {
            match value {
                Some(value) => drop(journals.table.insert(name, value)),
                None => drop(journals.table.remove(&name)),
            }
        }
        Ok(())
    }
}

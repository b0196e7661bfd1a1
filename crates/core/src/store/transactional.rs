use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Lease, Store, StoreError};
use crate::journal::Record;

/// A store that can commit a record together with other writes to its database.
///
/// [`Step::transaction`](crate::step::Step::transaction) requires it.
pub trait Transactional: Store {
    /// A transaction on the store's database. Dropping it rolls it back.
    type Transaction: Send + 'static;

    /// Begins a transaction.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;

    /// Adds a record to the journal that `lease` is for, and commits it together with the writes of the transaction.
    /// Either both the record and the writes take effect, or neither does, even if the call fails.
    ///
    /// # Errors
    /// Returns [`StoreError::AlreadyRecorded`] if the journal holds an outcome under the key and `on_recorded` is
    /// [`OnRecorded::Refuse`].
    fn commit(
        &self,
        transaction: Self::Transaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The behaviour of a commit whose key already has an outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnRecorded {
    /// The store refuses the record, as [`append`](Store::append) does.
    #[default]
    Refuse,
    /// The record replaces the older one, as [`replace`](Store::replace) does.
    Replace,
}

/// The transaction of a step, on loan to the step's operation. It derefs to the store's transaction.
///
/// If the operation returns a value and has dropped the `Tx`, the library commits the transaction together with the
/// step's outcome. If the operation fails, is dropped, or keeps the `Tx`, the transaction is rolled back.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use awaitly_core::RunError;
/// use awaitly_core::store::Tx;
///
/// /// A transaction of this store is a map of the changed balances.
/// type Balances = BTreeMap<&'static str, u64>;
///
/// async fn debit(mut tx: Tx<Balances>, cents: u64) -> Result<u64, RunError> {
///     *tx.entry("shop").or_default() += cents;
///     Ok(cents) // `tx` is dropped here, so the library commits
/// }
/// ```
#[derive(Debug)]
pub struct Tx<T> {
    /// `None` only during the drop.
    transaction: Option<T>,
    back: Back<T>,
}

/// The place to which a dropped [`Tx`] returns its transaction.
#[derive(Debug)]
pub(crate) struct Back<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Back<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Back<T> {
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> Tx<T> {
    pub(crate) fn lend(transaction: T) -> (Self, Back<T>) {
        let back = Back(Arc::new(Mutex::new(None)));
        (Self { transaction: Some(transaction), back: back.clone() }, back)
    }
}

impl<T> Drop for Tx<T> {
    fn drop(&mut self) {
        *self.back.0.lock().unwrap_or_else(PoisonError::into_inner) = self.transaction.take();
    }
}

#[expect(clippy::expect_used, reason = "it is taken out only when this is dropped")]
impl<T> Deref for Tx<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.transaction.as_ref().expect("there until dropped")
    }
}

#[expect(clippy::expect_used, reason = "it is taken out only when this is dropped")]
impl<T> DerefMut for Tx<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.transaction.as_mut().expect("there until dropped")
    }
}

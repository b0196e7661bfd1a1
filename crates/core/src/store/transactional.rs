use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Lease, Store, StoreError};
use crate::journal::Record;

/// A store whose records can be committed together with other writes to the same database.
///
/// It is what [`Step::transaction`](crate::step::Step::transaction) asks for.
pub trait Transactional: Store {
    /// A transaction on the store's database. Dropping it undoes what was done in it.
    type Transaction: Send + 'static;

    /// Begins a transaction.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;

    /// Adds a record to the journal of the run that `lease` is for, and commits it together with what was done in
    /// the transaction: both or neither, also where this fails.
    fn commit(
        &self,
        transaction: Self::Transaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What happens where an outcome is recorded under the key of a record already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnRecorded {
    /// The record is refused, as by [`append`](Store::append).
    #[default]
    Refuse,
    /// The record takes its place, as by [`replace`](Store::replace).
    Replace,
}

/// A transaction, while the operation of a step has it. It derefs to that of the store.
///
/// It is committed, together with the outcome of the step, when the operation has returned a value and dropped
/// this; and undone when the operation fails, is dropped, or keeps this.
#[derive(Debug)]
pub struct Tx<T> {
    /// `None` only while it is dropped.
    transaction: Option<T>,
    back: Back<T>,
}

/// Where a transaction comes back to.
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

//! What a step with a transaction asks of the store.

use awaitly_core::journal::Record;
use awaitly_core::store::{Lease, OnRecorded, StoreError, Transactional};

use super::super::call::Call;
use super::super::plan::{Called, Fault};
use super::{FaultyStore, carry_out};

impl<S: Transactional> Transactional for FaultyStore<S> {
    type Transaction = S::Transaction;

    async fn begin(&self) -> Result<S::Transaction, StoreError> {
        let fault = self.befall(Called::new(Call::Begin, None, None))?;
        carry_out(fault, self.inner().begin()).await
    }

    async fn commit(
        &self,
        transaction: S::Transaction,
        lease: &Lease,
        record: Record,
        on_recorded: OnRecorded,
    ) -> Result<(), StoreError> {
        let (fault, lease) = self.befall_owner(Call::Commit, lease, Some(&record.key))?;
        if fault == Some(Fault::DropRecord) {
            return Ok(());
        }
        carry_out(fault, self.inner().commit(transaction, &lease, record, on_recorded)).await
    }
}

//! What a run asks of the store.

use std::time::Duration;

use awaitly_core::journal::{Key, Outcome, Record, Settling};
use awaitly_core::store::{
    Durability, Ending, Lease, Open, Opened, Renewed, Rewrite, RunId, Store, StoreError, StoredRun, Wait,
};

use super::super::call::Call;
use super::super::plan::{Called, Fault};
use super::{FaultyStore, carry_out};

impl<S: Store> Store for FaultyStore<S> {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        let fault = self.befall(Called::new(Call::Open, Some(&request.run), None))?;
        let open = async {
            let opened = self.inner().open(request).await?;
            if let Opened::Held { lease, .. } = &opened {
                self.plan().taken(lease);
            }
            Ok(opened)
        };
        carry_out(fault, open).await
    }

    async fn append(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        let (fault, lease) = self.befall_owner(Call::Append, lease, Some(&record.key))?;
        if fault == Some(Fault::DropRecord) {
            return Ok(());
        }
        carry_out(fault, self.inner().append(&lease, record, durability)).await
    }

    async fn replace(&self, lease: &Lease, record: Record, durability: Durability) -> Result<(), StoreError> {
        let (fault, lease) = self.befall_owner(Call::Replace, lease, Some(&record.key))?;
        if fault == Some(Fault::DropRecord) {
            return Ok(());
        }
        carry_out(fault, self.inner().replace(&lease, record, durability)).await
    }

    async fn wait(&self, lease: &Lease, wait: Wait) -> Result<(), StoreError> {
        let (fault, lease) = self.befall_owner(Call::Wait, lease, Some(&wait.key))?;
        carry_out(fault, self.inner().wait(&lease, wait)).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        record: Record,
        settling: Settling,
    ) -> Result<Option<Outcome>, StoreError> {
        let (fault, lease) = self.befall_owner(Call::Settle, lease, Some(&record.key))?;
        if fault == Some(Fault::DropRecord) {
            return Ok(Some(record.outcome));
        }
        carry_out(fault, self.inner().settle(&lease, record, settling)).await
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        let (fault, lease) = self.befall_owner(Call::Revive, lease, None)?;
        carry_out(fault, self.inner().revive(&lease, drop)).await
    }

    async fn rewrite(&self, lease: &Lease, rewrite: Rewrite) -> Result<(), StoreError> {
        let (fault, lease) = self.befall_owner(Call::Rewrite, lease, None)?;
        carry_out(fault, self.inner().rewrite(&lease, rewrite)).await
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        let (fault, lease) = self.befall_owner(Call::Finish, lease, None)?;
        carry_out(fault, self.inner().finish(&lease, ending)).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed, StoreError> {
        let (fault, lease) = self.befall_owner(Call::Renew, lease, None)?;
        carry_out(fault, self.inner().renew(&lease, ttl)).await
    }

    fn release(&self, lease: &Lease) {
        // Nobody can be told of a refusal: the lease expires.
        if let Ok((_, lease)) = self.befall_owner(Call::Release, lease, None) {
            self.inner().release(&lease);
        }
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let fault = self.befall(Called::new(Call::Load, Some(run), None))?;
        carry_out(fault, self.inner().load(run)).await
    }

    fn durability(&self) -> &'static str {
        self.inner().durability()
    }
}

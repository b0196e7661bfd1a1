//! The run on a store of the check's own, aside of everything that the workflow reaches.

use std::sync::Arc;

use awaitly_core::Workflow;
use awaitly_core::event::Event;
use awaitly_core::extend::stage;
use awaitly_core::journal::{Header, Status, Timestamp};
use awaitly_core::store::{Imported, Operate, Store, StoreError, StoredRun};
use awaitly_persistence::MemoryStore;

use super::Journal;
use super::still::Still;
use super::witness::Witness;

/// The workflow with nothing of its own but its name, version, input and migrations.
pub(super) fn staged<X>(
    workflow: &Workflow<X>,
    store: &MemoryStore,
    witness: &Arc<Witness>,
    moment: Timestamp,
) -> Workflow<X> {
    let observer = Arc::clone(witness);
    let alone = stage::alone(workflow.clone())
        .store(store.clone())
        .clock(Still::at(moment))
        .observe(move |event: &Event| observer.told(event));
    stage::on_stage(alone, Arc::<Witness>::clone(witness))
}

/// The run as one that was interrupted, so that the body is called whatever it ended in.
pub(super) async fn import(
    store: &MemoryStore,
    journal: &Journal,
    moment: Timestamp,
) -> Result<(), StoreError> {
    let Journal { run, header: old, input, records, waits } = journal;
    let mut header = Header::new(Arc::clone(&old.workflow), old.version, Status::Running, moment);
    header.input = old.input;
    header.cancel_requested = old.cancel_requested;
    let (input, records, waits) = (input.clone(), records.clone(), waits.clone());
    // The store is new, so the run is not there yet.
    let _: Imported = store.import(run.clone(), StoredRun { header, input, records, waits }).await?;
    Ok(())
}

pub(super) async fn load(store: &MemoryStore, journal: &Journal) -> Option<StoredRun> {
    store.load(&journal.run).await.ok().flatten()
}

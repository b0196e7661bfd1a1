//! The run under check, on a separate store, isolated from everything that the workflow normally reaches.

use std::sync::Arc;

use awaitly_core::Workflow;
use awaitly_core::event::Event;
use awaitly_core::extend::stage;
use awaitly_core::journal::{Header, Status, Timestamp};
use awaitly_core::store::{Operate, Store, StoreError, StoredRun};
use awaitly_persistence::MemoryStore;

use super::Journal;
use super::still::Still;
use super::witness::Witness;

/// Prepares a workflow that keeps only its name, version, input and migrations.
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
        .observe(move |event: &Event| observer.hear(event));
    stage::on_stage(alone, Arc::<Witness>::clone(witness))
}

/// Imports the run as an interrupted one, so that its body is called whatever its recorded ending is.
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
    // The store is new, so it cannot refuse the run as a duplicate.
    let _: bool = store.import(run.clone(), StoredRun { header, input, records, waits }).await?;
    Ok(())
}

pub(super) async fn load(store: &MemoryStore, journal: &Journal) -> Option<StoredRun> {
    store.load(&journal.run).await.ok().flatten()
}

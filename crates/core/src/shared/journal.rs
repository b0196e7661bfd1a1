use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock::lock;
use crate::journal::{Key, Payload, Record, WaitEntry};
use crate::store::{AnyStore, Durability, Lease, OnRecorded, Renewed, StoreError};

/// The journal of a run during one execution: the destination of its records, and its open questions. The journal of a
/// volatile run is empty and writes no records.
pub(crate) struct Journal {
    /// `None` if the run has no store; its records are then `kept` or dropped.
    writer: Option<Writer>,
    durability: Durability,
    input: Option<Payload>,
    /// The entries that wait for an answer, as far as this execution knows.
    waits: Mutex<Vec<WaitEntry>>,
    /// All records, if the caller wants the state of the run.
    kept: Option<Arc<Mutex<Vec<Record>>>>,
    /// Whether the run's status in the store is still waiting or cancelled.
    asleep: AtomicBool,
}

/// A write of a record to the store.
pub(crate) type Writing = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// The right to write a run's records, and the store that receives them.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) store: AnyStore,
    pub(crate) lease: Lease,
    /// The duration of the lease after a renewal.
    pub(crate) ttl: Duration,
}

impl Writer {
    /// Renews the lease.
    pub(crate) fn renew(&self) -> Pin<Box<dyn Future<Output = Result<Renewed, StoreError>> + Send>> {
        self.store.renew(&self.lease, self.ttl)
    }
}

impl Journal {
    pub(super) fn new(
        writer: Option<Writer>,
        durability: Durability,
        input: Option<Payload>,
        waits: Vec<WaitEntry>,
        kept: Option<Vec<Record>>,
        asleep: bool,
    ) -> Self {
        let (waits, kept) = (Mutex::new(waits), kept.map(|kept| Arc::new(Mutex::new(kept))));
        Self { writer, durability, input, waits, kept, asleep: AtomicBool::new(asleep) }
    }

    /// Begins to record. `durability` overrides the durability of the workflow.
    pub(crate) fn write(
        &self,
        record: Record,
        on_recorded: OnRecorded,
        durability: Option<Durability>,
    ) -> Writing {
        let durability = durability.unwrap_or(self.durability);
        let kept = self.kept.clone().map(|kept| (kept, record.clone()));
        let writing: Writing = match (&self.writer, on_recorded) {
            (None, _) => Box::pin(ready(Ok(()))),
            (Some(Writer { store, lease, .. }), OnRecorded::Replace) => {
                store.replace(lease, record, durability)
            }
            (Some(Writer { store, lease, .. }), OnRecorded::Refuse) => {
                store.append(lease, record, durability)
            }
        };
        match kept {
            None => writing,
            Some((kept, record)) => Box::pin(async move {
                writing.await?;
                keep(&kept, record, on_recorded);
                Ok(())
            }),
        }
    }

    /// Keeps a record that is in the store already.
    pub(crate) fn keep(&self, record: Record, on_recorded: OnRecorded) {
        if let Some(kept) = &self.kept {
            keep(kept, record, on_recorded);
        }
    }

    /// Returns all records of the run, if they are kept.
    pub(crate) fn kept(&self) -> Vec<Record> {
        self.kept.as_ref().map(|kept| lock(kept).clone()).unwrap_or_default()
    }

    pub(crate) const fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    pub(crate) const fn input(&self) -> Option<&Payload> {
        self.input.as_ref()
    }

    /// Returns the entry that waits under `key`, as far as this execution knows.
    pub(crate) fn wait_entry(&self, key: &Key) -> Option<WaitEntry> {
        lock(&self.waits).iter().find(|entry| entry.key == *key).cloned()
    }

    /// Returns all entries that wait for an answer, as far as this execution knows.
    pub(crate) fn wait_entries(&self) -> Vec<WaitEntry> {
        lock(&self.waits).clone()
    }

    /// Notes that `entry` waits from now on.
    pub(crate) fn note_asked(&self, entry: WaitEntry) {
        lock(&self.waits).push(entry);
    }

    /// Sets a run that was opened for an undo back to running. Until then, the store keeps its earlier status.
    pub(crate) async fn wake_up(&self) -> Result<(), StoreError> {
        match &self.writer {
            Some(Writer { store, lease, .. }) if self.asleep.swap(false, Ordering::Relaxed) => {
                store.revive(lease, Vec::new()).await
            }
            _ => Ok(()),
        }
    }
}

fn keep(kept: &Mutex<Vec<Record>>, record: Record, on_recorded: OnRecorded) {
    let mut kept = lock(kept);
    if on_recorded == OnRecorded::Replace {
        kept.retain(|old| old.key != record.key);
    }
    kept.push(record);
}

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock::lock;
use crate::journal::{Key, Payload, Record, WaitEntry};
use crate::store::{AnyStore, Durability, Lease, OnRecorded, Renewed, StoreError};

/// The journal of a run while it is executed: where its records go, and the questions that wait in it. That of a
/// volatile run is empty and leads nowhere.
pub(crate) struct Journal {
    /// `None`: the run has no store, so its journal is `kept` or nowhere.
    writer: Option<Writer>,
    durability: Durability,
    input: Option<Payload>,
    /// The entries that wait for an answer, as far as this execution knows.
    waits: Mutex<Vec<WaitEntry>>,
    /// All records, if the caller wants the state of the run.
    kept: Option<Arc<Mutex<Vec<Record>>>>,
    /// Whether the store still has the run as one that waits, or was cancelled.
    asleep: AtomicBool,
}

/// A record on its way to the store.
pub(crate) type Writing = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// The right to write a run's records, and the store that they go to.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) store: AnyStore,
    pub(crate) lease: Lease,
    /// How long the lease lasts after a renewal.
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

    /// Begins to record. `durability`: unless the workflow's counts.
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

    /// Takes note of a record that is in the store already.
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

    /// Takes note that `entry` waits from now on.
    pub(crate) fn note_asked(&self, entry: WaitEntry) {
        lock(&self.waits).push(entry);
    }

    /// Sets a run back to running that was opened to undo its work. The store had it as it was until then.
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

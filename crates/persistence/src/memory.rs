use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use awaitly_core::journal::{Admission, Header, Key, LeaseInfo, Payload, Record, Status, admit};
use awaitly_core::store::{Ending, Lease, Open, Opened, RunId, Store, StoreError, StoredRun};
use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::limits;

/// Journals in memory: for tests, and for runs that need not survive the process.
///
/// A clone is a handle on the same journals; they are gone when the last handle is. Leases run by
/// tokio's clock, so that a test which pauses time pauses them too.
///
/// # Cancel safety
/// No future of this store waits: each happens whole at its first poll.
///
/// # Examples
/// ```
/// use awaitly_core::store::{Open, Opened, Owner, RunId, Store};
/// use awaitly_persistence::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let run = RunId::new("order-42")?;
/// let opened = store.open(Open::new(run.clone(), "checkout", Owner::unique())).await?;
/// assert!(matches!(opened, Opened::Held { .. }));
/// assert!(store.load(&run).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Journals>>);

#[derive(Default)]
struct Journals {
    /// Where a run stands in `runs`: the slot of its leases.
    slots: HashMap<RunId, usize, RandomState>,
    runs: Vec<Journal>,
}

struct Journal {
    run: RunId,
    header: Header,
    input: Option<Payload>,
    records: Vec<Record>,
    keys: HashSet<Key, RandomState>,
    /// The newest token.
    token: u64,
    /// When the lease with that token expires. `None`: it was given back.
    held_until: Option<Instant>,
}

impl MemoryStore {
    /// A store without runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A panic while the lock was held leaves nothing half done: every change below is made after
    /// everything that can fail.
    fn lock(&self) -> MutexGuard<'_, Journals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn open(&self, request: Open) -> Result<Opened, StoreError> {
        Ok(self.lock().open(&request))
    }

    async fn append(&self, lease: &Lease, record: Record) -> Result<(), StoreError> {
        let mut journals = self.lock();
        let journal = journals.held(lease)?;
        if !journal.keys.insert(record.key.clone()) {
            return Err(StoreError::AlreadyRecorded { run: (**lease.run()).into(), key: record.key });
        }
        journal.records.push(record);
        Ok(())
    }

    async fn replace(&self, lease: &Lease, record: Record) -> Result<(), StoreError> {
        let mut journals = self.lock();
        let journal = journals.held(lease)?;
        if !journal.keys.insert(record.key.clone()) {
            journal.records.retain(|old| old.key != record.key);
        }
        journal.records.push(record);
        Ok(())
    }

    async fn revive(&self, lease: &Lease, drop: Vec<Key>) -> Result<(), StoreError> {
        let mut journals = self.lock();
        let journal = journals.held(lease)?;
        journal.header.status = Status::Running;
        journal.header.outcome = None;
        journal.header.failed_on = Vec::new();
        journal.records.retain(|record| !drop.contains(&record.key));
        journal.keys.retain(|key| !drop.contains(key));
        Ok(())
    }

    async fn rewrite(&self, lease: &Lease, version: u32, records: Vec<Record>) -> Result<(), StoreError> {
        let mut journals = self.lock();
        let journal = journals.held(lease)?;
        let keys = limits::distinct_keys(lease.run(), &records)?;
        journal.keys = keys.into_iter().cloned().collect();
        journal.records = records;
        journal.header.version = version;
        Ok(())
    }

    async fn finish(&self, lease: &Lease, ending: Ending) -> Result<(), StoreError> {
        let mut journals = self.lock();
        let journal = journals.held(lease)?;
        journal.header.status = ending.status;
        journal.header.outcome = ending.outcome;
        journal.header.failed_on = ending.failed_on;
        journal.held_until = None;
        Ok(())
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), StoreError> {
        self.lock().held(lease)?.held_until = Some(expiry(ttl));
        Ok(())
    }

    fn release(&self, lease: &Lease) {
        if let Ok(journal) = self.lock().held(lease) {
            journal.held_until = None;
        }
    }

    async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let journals = self.lock();
        let slot = journals.slots.get(run);
        Ok(slot.and_then(|slot| journals.runs.get(*slot)).map(Journal::to_stored))
    }

    fn durability(&self) -> &'static str {
        "memory: lost with the process"
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("runs", &self.lock().runs.len()).finish_non_exhaustive()
    }
}

impl Journals {
    fn open(&mut self, request: &Open) -> Opened {
        let slot = self.slots.get(&request.run).copied();
        let journal = slot.and_then(|slot| self.runs.get_mut(slot));
        let stored = journal.as_ref().map(|journal| (&journal.header, journal.lease()));
        match (admit(request, stored), journal, slot) {
            (Admission::Refuse(refused), ..) => Opened::Refused(refused),
            (Admission::Ended, Some(journal), _) => Opened::Ended(journal.header.clone()),
            (Admission::Take, Some(journal), Some(slot)) => journal.take(slot, request.ttl),
            _ => self.begin(request),
        }
    }

    fn begin(&mut self, request: &Open) -> Opened {
        let slot = self.runs.len();
        let mut journal = Journal {
            run: request.run.clone(),
            header: Header::begin(request),
            input: request.input.as_ref().map(|input| input.payload.clone()),
            records: Vec::new(),
            keys: HashSet::default(),
            token: 0,
            held_until: None,
        };
        let opened = journal.take(slot, request.ttl);
        self.slots.insert(request.run.clone(), slot);
        self.runs.push(journal);
        opened
    }

    /// The journal that `lease` may still write.
    fn held(&mut self, lease: &Lease) -> Result<&mut Journal, StoreError> {
        usize::try_from(lease.slot())
            .ok()
            .and_then(|slot| self.runs.get_mut(slot))
            .filter(|journal| {
                journal.token == lease.token() && journal.held_until.is_some() && journal.run == *lease.run()
            })
            .ok_or_else(|| StoreError::LeaseLost { run: (**lease.run()).into() })
    }
}

impl Journal {
    fn lease(&self) -> LeaseInfo {
        let remaining = self.held_until.map(|until| until.saturating_duration_since(Instant::now()));
        match remaining {
            Some(remaining) if !remaining.is_zero() => LeaseInfo::Held(remaining),
            _ => LeaseInfo::Free,
        }
    }

    fn take(&mut self, slot: usize, ttl: Duration) -> Opened {
        let run = self.to_stored();
        self.token += 1;
        self.held_until = Some(expiry(ttl));
        Opened::Held { lease: Lease::new(self.run.clone(), self.token, slot as i64), run }
    }

    fn to_stored(&self) -> StoredRun {
        StoredRun { header: self.header.clone(), input: self.input.clone(), records: self.records.clone() }
    }
}

fn expiry(ttl: Duration) -> Instant {
    Instant::now() + ttl.min(limits::LONGEST_TTL)
}
